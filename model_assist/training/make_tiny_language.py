"""Second stage: projector and language model learn to answer, over the frozen tower's features.

The loss is the project's own `AnswerLoss`, plus read-outs of the prefix that exist in training only: what each
visual token shows and how it moves, and at the end of each frame whether the cue, the contact and the rest have
come, who has hit whom, and the frame's time.
"""

import hashlib
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from transformers import DynamicCache

from annotations.cases.default_prompts import DEFAULT_PROMPTS as GUIDELINE_PROMPTS
from annotations.corpora.demo.grammar import QUESTIONS
from annotations.corpora.demo.scenarios import CRASH
from model_assist.crashchat import kinds as k
from model_assist.crashchat.parsing import render_target
from model_assist.crashchat.prefix import Prefix, branch, embed_prefix, encode_clip, extend, left_pad
from model_assist.crashchat.preprocess import ClipInputs, compression_mask, patchify
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text
from model_assist.crashchat.sizing import MERGE, PATCH
from model_assist.training.answer_loss import AnswerLoss, TrainingClip, tokenize
from model_assist.training.examples import Example
from model_assist.training.make_tiny_clips import (
    CELL_LABELS,
    CELL_VALUES,
    FRAME_LABELS,
    Pool,
    TaughtClip,
)

SHARDS_HELD: Final = 6
MANOEUVRES: Final = ("rear_end", "step_out", "cut_in", "oncoming")
PAIRS: Final = tuple(
    f"{a} hits a {b}." for a in ("ego-car", "car", "truck") for b in ("car", "truck", "cyclist", "pedestrian")
)
WORDINGS: Final[tuple[Mapping[str, str], ...]] = (QUESTIONS, DEFAULT_PROMPTS, GUIDELINE_PROMPTS)
"""The model learns the demo corpus's wording, the engine's and that of a guideline without its own."""

_TOKEN_LABELS: Final = len(CELL_LABELS)
_TOKEN_OUT: Final = _TOKEN_LABELS + len(CELL_VALUES)
_FRAME_OUT: Final = len(FRAME_LABELS) + 10 + 10 + len(PAIRS) + len(MANOEUVRES)


@dataclass(frozen=True)
class LabelledClip:
    """A training clip with labels for its prefix: of kept visual tokens [kept, ...] and of frames [T, ...].

    seconds, tenths: the frame's label's digits.  pair, manoeuvre: class numbers, -100 where not yet to be seen.
    """

    clip: TrainingClip
    cells: torch.Tensor
    filled: torch.Tensor
    passed: torch.Tensor
    seconds: torch.Tensor
    tenths: torch.Tensor
    pair: torch.Tensor
    manoeuvre: torch.Tensor


class LabelledLoss(nn.Module):
    """`AnswerLoss` plus the read-outs, weighed by `dense`."""

    def __init__(self, answers: AnswerLoss, hidden: int, *, dense: float = 1.0) -> None:
        super().__init__()
        self.answers = answers
        self.of_token = nn.Linear(hidden, _TOKEN_OUT)
        self.of_frame = nn.Linear(hidden, _FRAME_OUT)
        self.dense = dense
        self.parts: dict[str, list[float]] = {}

    def forward(self, labelled: LabelledClip) -> torch.Tensor:
        """The scalar loss of one clip; `parts` collects its components."""
        clip = labelled.clip
        network = self.answers.network
        features = clip.visual
        if isinstance(features, ClipInputs):
            features = encode_clip(network, features)
        embeddings = embed_prefix(network, clip.prefix_ids, features)
        cache = DynamicCache(config=network.config.get_text_config())
        hidden = network.model.language_model(
            inputs_embeds=embeddings, past_key_values=cache, use_cache=True
        ).last_hidden_state[0]
        prefix = Prefix(clip.prefix_ids.shape[1], cache)
        rows = [s + a for s, a in zip(clip.suffixes, clip.answers, strict=True)]
        ids, mask = left_pad(rows, self.answers.pad_id, clip.prefix_ids.device)
        mask = torch.cat([mask.new_ones(len(rows), prefix.length), mask], 1)
        said = extend(network, branch(prefix, len(rows)), ids, mask)
        answers = answer_loss(network, said, clip.answers)
        visual = clip.prefix_ids[0] == network.config.video_token_id
        tokens = self._tokens(hidden[visual], labelled)
        after = torch.nonzero(visual[:-1] & ~visual[1:]).flatten() + 1
        frames, parts = self._frames(hidden[after], labelled)
        for name, value in {"answers": answers, "tokens": tokens, **parts}.items():
            self.parts.setdefault(name, []).append(float(value.detach()))
        return answers + self.dense * (tokens + frames)

    def _tokens(self, hidden: torch.Tensor, labelled: LabelledClip) -> torch.Tensor:
        said = self.of_token(hidden)
        labels = nn.functional.binary_cross_entropy_with_logits(
            said[:, :_TOKEN_LABELS], labelled.cells[:, :_TOKEN_LABELS]
        )
        filled = labelled.filled.float()[:, None]
        misses = nn.functional.smooth_l1_loss(
            said[:, _TOKEN_LABELS:], labelled.cells[:, _TOKEN_LABELS:], reduction="none"
        )
        values: torch.Tensor = (misses * filled).sum() / (filled.sum().clamp(min=1) * len(CELL_VALUES))
        return labels + values

    def _frames(
        self, hidden: torch.Tensor, labelled: LabelledClip
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        sizes = [len(FRAME_LABELS), 10, 10, len(PAIRS), len(MANOEUVRES)]
        passed, seconds, tenths, pair, manoeuvre = self.of_frame(hidden).split(sizes, dim=1)
        entropy = nn.functional.cross_entropy
        parts = {
            "passed": nn.functional.binary_cross_entropy_with_logits(passed, labelled.passed),
            "time": (entropy(seconds, labelled.seconds) + entropy(tenths, labelled.tenths)) / 2,
        }
        if bool((labelled.pair >= 0).any()):
            parts["pair"] = entropy(pair, labelled.pair)
        if bool((labelled.manoeuvre >= 0).any()):
            parts["manoeuvre"] = entropy(manoeuvre, labelled.manoeuvre)
        weights = {"passed": 2.0, "time": 0.25, "pair": 0.5, "manoeuvre": 0.25}
        total = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        return total, parts


def answer_loss(network: Any, said: torch.Tensor, answers: list[list[int]]) -> torch.Tensor:
    """Mean over answers of their mean cross entropy, as in `AnswerLoss`; `said` [rows, S, hidden]."""
    hidden = torch.cat([said[i, -len(a) - 1 : -1] for i, a in enumerate(answers)])
    targets = torch.tensor([t for a in answers for t in a])
    shares = torch.tensor([1 / len(a) / len(answers) for a in answers for _ in a])
    losses = nn.functional.cross_entropy(network.lm_head(hidden), targets, reduction="none")
    return (losses * shares).sum()


SeenClip = tuple[TaughtClip, torch.Tensor, torch.Tensor]
"""A clip without its pixels, its features [kept, vision hidden] and which tokens were kept."""


class ClipOrderOfPool:
    """Draws clips from a pool, a window of shards at a time; the frozen tower sees each clip once.

    Its features lie in `folder` under the tower's hash, so that a broken run goes on without it.
    """

    def __init__(self, pool: Pool, folder: Path, network: Any, tokenizer: Any) -> None:
        self.pool, self.network, self.tokenizer = pool, network, tokenizer
        hashed = hashlib.sha256()
        for weight in network.model.vision_model.state_dict().values():
            hashed.update(weight.numpy().tobytes())
        self.folder = folder / hashed.hexdigest()[:16]
        self._known: dict[int, list[SeenClip]] = {}
        self._window = -1
        self._held: list[SeenClip] = []

    def __call__(self, number: int) -> LabelledClip:
        size = SHARDS_HELD * self.pool.clips
        window, within = divmod(number, size)
        if window != self._window:
            self._load(window)
        clip, features, keep = self._held[within]
        rng = random.Random(f"{self.pool.seed}/questions/{number}")
        return label(clip, features, keep, self.tokenizer, rng)

    def _load(self, window: int) -> None:
        self._window = window
        turn, place = divmod(window * SHARDS_HELD, self.pool.shards)
        order = list(range(self.pool.shards))
        if turn:  # the first time in order of drawing, so that drawing may go on meanwhile
            random.Random(f"{self.pool.seed}/{turn}").shuffle(order)
        numbers = [order[(place + i) % self.pool.shards] for i in range(SHARDS_HELD)]
        self._held = [clip for n in numbers for clip in self._shard(n)]
        random.Random(f"{self.pool.seed}/window/{window}").shuffle(self._held)

    def _shard(self, number: int) -> list[SeenClip]:
        if number not in self._known:
            path = self.folder / f"{number:05d}.pt"
            if not path.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                scratch = path.with_name(f".{number}.{os.getpid()}")
                torch.save([self._encode(c) for c in self.pool.read(number)], scratch)
                scratch.replace(path)
            seen = torch.load(path, weights_only=True)
            clips = self.pool.read(number, pixels=False)
            self._known[number] = [(c, *pair) for c, pair in zip(clips, seen, strict=True)]
        return self._known[number]

    def _encode(self, clip: TaughtClip) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = clip_inputs(clip)
        with torch.no_grad():
            return encode_clip(self.network, inputs).half(), inputs.keep


def clip_inputs(clip: TaughtClip) -> ClipInputs:
    """The tower's inputs, as `preprocess` makes them of frames that the reader has already resized."""
    count, rows, columns, _ = clip.pixels.shape
    pixels = patchify(clip.pixels)
    tokens = (rows // PATCH // MERGE) * (columns // PATCH // MERGE)
    grid = torch.tensor([[count, rows // PATCH, columns // PATCH]])
    return ClipInputs(pixels, grid, torch.tensor([MERGE]), compression_mask(pixels, count, tokens), tokens)


def label(
    clip: TaughtClip, features: torch.Tensor, keep: torch.Tensor, tokenizer: Any, rng: random.Random
) -> LabelledClip:
    """Everything about one presentation of a clip: `rng` draws the questions and their wording."""
    count = len(clip.times_us)
    text = prefix_text(clip.times_us, keep.view(count, -1).sum(1).tolist())
    ids = tokenizer.encode(text, add_special_tokens=False)
    suffixes, answers = tokenize(tokenizer, questions(clip, rng))
    passed = torch.from_numpy(clip.passed)
    tenths = torch.tensor([round(t / 100_000) for t in clip.times_us])
    pair = manoeuvre = torch.full((count,), -100)
    if clip.outcome == CRASH:
        said = PAIRS.index(clip.truth[k.CRASH_DESCRIPTION]["value"]["text"])
        pair = torch.where(passed[:, 1] > 0, said, -100)
        manoeuvre = torch.where(passed[:, 1] > 0, MANOEUVRES.index(clip.manoeuvre), -100)
    return LabelledClip(
        clip=TrainingClip(features.float(), torch.tensor([ids]), suffixes, answers),
        cells=torch.from_numpy(clip.cells).float().flatten(0, 1)[keep],
        filled=torch.from_numpy(clip.filled).flatten()[keep],
        passed=passed,
        seconds=tenths // 10 % 10,
        tenths=tenths % 10,
        pair=pair,
        manoeuvre=manoeuvre,
    )


def questions(clip: TaughtClip, rng: random.Random) -> list[Example]:
    """Recognition, and of a crash its description and both times; of others one text, or now and then a time that
    there is not.  Causes and measures come seldom: they cost most and, once the rest is known, are soon learnt."""
    if clip.outcome == CRASH:
        asked = [k.CRASH_RECOGNITION, k.CRASH_DESCRIPTION, *k.PERCEPTION]
        if rng.random() < 0.35:
            asked.append(k.PREVENTION_REASONING if rng.random() < 0.25 else k.CAUSAL_REASONING)
    else:
        asked = [k.CRASH_RECOGNITION, *rng.choices(k.TEXT_KINDS, (5, 3, 2))]
        if rng.random() < 0.15:
            asked.append(rng.choice(k.PERCEPTION))
    found = []
    for kind in asked:
        truth = clip.truth[kind]
        answer = render_target(kind, truth["state"], truth["value"], duration_us=clip.duration_us)
        found.append(Example(Path(), kind, rng.choice(WORDINGS)[kind], answer, clip.duration_us))
    return found
