"""Greedy answers of the engine equal one generate() call per question, however clips and questions are batched.

Equal means the same tokens, in float32, on the CPU and (marked `gpu`) on a GPU.  There is no rule for ties: the
models below are sharp enough that the best token always leads by much more than rounding, and
`test_the_yardstick_is_not_a_matter_of_rounding` checks that.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from model_assist.crashchat import batching
from model_assist.crashchat import engine as engine_module
from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import ClipAnswers, ClipRequest
from model_assist.crashchat.batching_decode import decode
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.frames import Frames
from model_assist.crashchat.model import LoadedModel, load, load_base
from model_assist.crashchat.prefix import Trace, encode_clip
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text
from model_assist.crashchat.settings import LORA_TARGETS, EngineSettings
from model_assist.crashchat.tiny import save_tiny
from model_assist.training.answer_loss import AnswerLoss, TrainingClip, tokenize
from model_assist.training.examples import Example
from model_assist.training.finetune import save_model
from tests.unit.model_assist.crashchat.naive import (
    PictureReader,
    Plain,
    generate,
    inputs_of,
    picture_frames,
)

LIMITS = dict(zip(k.ALL, (4, 14, 16, 24, 16, 10), strict=True))
LENGTHS = (1, 2, 3, 5, 8, 11)
CLIPS: dict[str, Frames] = {f"clip-{n}": picture_frames(n, seed=n) for n in LENGTHS}
ADAPTERS = ("linguistic", "perception")
ROUNDING = 2e-5
"""Bound on the difference of log-probabilities (float32); the margins are larger, the largest seen is 1.5e-6."""

SAID = {
    True: dict(
        zip(
            k.ALL,
            ("Yes", "car hits truck", "The car braked too late.", "The car should brake earlier.",
             "0.1 - 0.4 seconds", "0.1 seconds"),
            strict=True,
        )
    ),
    False: k.NEGATIVE_TEXTS | {k.CRASH_RECOGNITION: "No"} | dict.fromkeys(k.PERCEPTION, k.ABSENT_TEXT),
}  # fmt: skip


def crash(name: str) -> bool:
    """What the trained model is taught to see in a clip."""
    return len(CLIPS[name].times_us) % 2 == 1


@dataclasses.dataclass
class Subject:
    """A model and what generate() says with it, computed once per question."""

    loaded: LoadedModel

    def __post_init__(self) -> None:
        self.plain = cache(self._plain)

    def _plain(self, name: str, kind: str, adapter: str) -> Plain:
        frames = CLIPS[name]
        return generate(
            self.loaded, inputs_of(frames), frames.times_us, DEFAULT_PROMPTS[kind], LIMITS[kind], adapter
        )

    def text(self, plain: Plain) -> str:
        return str(self.loaded.tokenizer.decode(plain.tokens, skip_special_tokens=True)).strip()


def sharpen(loaded: LoadedModel, factor: float) -> LoadedModel:
    """Random weights far enough from uniform that answers differ and no two tokens are nearly tied."""
    with torch.no_grad():
        for name, weight in loaded.network.named_parameters():
            if weight.ndim >= 2 and ("language_model" in name or "lm_head" in name) and "lora" not in name:
                weight.mul_(factor)
    return loaded


def teach(base: Path, folder: Path, name: str, steps: int = 45) -> Path:
    """An adapter trained for a moment to answer the made-up clips; "" trains the base itself in `folder`."""
    torch.manual_seed(len(name))
    network, tokenizer = load_base(base, dtype=torch.float32, attn="sdpa")
    model: Any = network
    if name:
        config = LoraConfig(r=4, lora_alpha=8, target_modules=LORA_TARGETS, modules_to_save=["projector"])
        model = get_peft_model(network, config, adapter_name=name)
    loss = AnswerLoss(model, tokenizer.pad_token_id)
    batches = []
    for title, frames in CLIPS.items():
        inputs = inputs_of(frames)
        ids = tokenizer.encode(prefix_text(frames.times_us, inputs.token_counts), add_special_tokens=False)
        taught = [
            Example(Path(title), kind, DEFAULT_PROMPTS[kind], answer)
            for kind, answer in SAID[crash(title)].items()
        ]
        with torch.no_grad():
            features = encode_clip(network, inputs)
        batches.append(TrainingClip(features, torch.tensor([ids]), *tokenize(tokenizer, taught)))
    weights = [p for n, p in model.named_parameters() if p.requires_grad and "vision_model" not in n]
    optimizer = torch.optim.AdamW(weights, lr=0.01)
    for step in range(steps):
        optimizer.zero_grad()
        loss(batches[step % len(batches)]).backward()
        optimizer.step()
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, tokenizer, folder, name=name, full=not name, settings=EngineSettings())
    return folder


@pytest.fixture(scope="module")
def random_subject(base_dir: Path, adapters: dict[str, Path]) -> Subject:
    """Random weights, two random adapters."""
    return Subject(sharpen(load(base_dir, adapters, device="cpu"), 3.0))


@pytest.fixture(scope="module")
def trained_subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """A base and two adapters trained for seconds: real words, answers that end early, gates that open."""
    root = tmp_path_factory.mktemp("taught")
    save_tiny(root / "raw", seed=5, hidden=32, layers=2)
    base = teach(root / "raw", root / "base", "", steps=90)
    folders = {name: teach(base, root / "adapters" / name, name, steps=12) for name in ADAPTERS}
    return Subject(load(base, folders, device="cpu"))


@pytest.fixture(params=["random", "trained"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(f"{request.param}_subject")
    return found


@pytest.fixture
def traces() -> Iterator[list[Trace]]:
    """Every greedy trace that the engine decodes, in order."""
    seen: list[Trace] = []

    def watching(*args: Any) -> list[Trace]:
        found = decode(*args)
        seen.extend(found)
        return found

    with patch.object(engine_module, "decode", watching):
        yield seen


requests_of = st.lists(
    st.tuples(st.sampled_from(sorted(CLIPS)), st.sets(st.sampled_from(k.ALL), min_size=1).map(tuple)),
    min_size=1,
    max_size=5,
)
routings = st.fixed_dictionaries({kind: st.sampled_from(ADAPTERS) for kind in k.ALL})


def check(subject: Subject, asked: list[tuple[str, tuple[str, ...]]], chosen: EngineSettings) -> None:
    """The engine's answers to `asked` are generate()'s."""
    reader = PictureReader(dict(CLIPS))
    engine = Engine(subject.loaded, settings=chosen, frame_reader=reader)
    found = dict(engine.answer_many(ClipRequest(name, kinds=kinds) for name, kinds in asked))
    assert sorted(found) == list(range(len(asked)))
    for position, (name, kinds) in enumerate(asked):
        outcome = found[position]
        assert isinstance(outcome, ClipAnswers), outcome
        expected = set(kinds)
        if chosen.gate_localisation and expected & set(k.PERCEPTION):
            expected.add(k.CRASH_RECOGNITION)
        assert set(outcome.answers) == expected
        recognition = outcome.answers.get(k.CRASH_RECOGNITION)
        for kind, answer in outcome.answers.items():
            closed = (
                chosen.gate_localisation
                and kind in k.PERCEPTION
                and recognition is not None
                and recognition.value != {"label": "yes"}
            )
            if closed:
                assert (answer.state, answer.raw_text) == ("absent", "")
                continue
            plain = subject.plain(name, kind, chosen.routing[kind] if subject.loaded.adapters else "")
            assert answer.raw_text == subject.text(plain), (name, kind)
            detail = answer.confidence_detail
            assert detail["tokens"] == len(plain.tokens) - detail["ended"]


@settings(max_examples=25, deadline=None)
@given(
    trained=st.booleans(),
    asked=requests_of,
    routing=routings,
    batch=st.integers(1, 4),
    chunk=st.sampled_from([None, 9, 64]),
    gate=st.booleans(),
    together=st.sampled_from([1, 150, batching.PREFILL_TOKENS]),
)
def test_answers_equal_one_call_per_question(
    random_subject: Subject,
    trained_subject: Subject,
    trained: bool,
    asked: list[tuple[str, tuple[str, ...]]],
    routing: dict[str, str],
    batch: int,
    chunk: int | None,
    gate: bool,
    together: int,
) -> None:
    chosen = EngineSettings(
        max_tokens=320,
        max_new_tokens=LIMITS,
        routing=routing,
        gate_localisation=gate,
        prefill_chunk=chunk,
        clips_per_batch=batch,
    )
    with patch.object(batching.prefill_rows, "__kwdefaults__", {"chunk": None, "together": together}):
        check(trained_subject if trained else random_subject, asked, chosen)


def test_the_base_alone_answers_as_generate_does(base_dir: Path) -> None:
    bare = Subject(sharpen(load(base_dir, {}, device="cpu"), 3.0))
    for gate in (True, False):
        chosen = EngineSettings(
            max_tokens=320, max_new_tokens=LIMITS, gate_localisation=gate, clips_per_batch=3
        )
        check(bare, [(name, k.ALL) for name in CLIPS], chosen)


def test_probabilities_equal_those_of_generate(subject: Subject, traces: list[Trace]) -> None:
    chosen = EngineSettings(
        max_tokens=320, max_new_tokens=LIMITS, gate_localisation=False, clips_per_batch=len(CLIPS)
    )
    check(subject, [(name, k.ALL) for name in CLIPS], chosen)
    expected = [
        subject.plain(name, kind, adapter)
        for adapter, kinds in zip(ADAPTERS, (k.LINGUISTIC, k.PERCEPTION), strict=True)
        for name in CLIPS
        for kind in kinds
    ]
    assert len(traces) == len(expected)
    for trace, plain in zip(traces, expected, strict=True):
        assert trace.tokens == [t for t in plain.tokens if t != subject.loaded.tokenizer.eos_token_id]
        assert trace.logprobs == pytest.approx(plain.logprobs, abs=ROUNDING)


def test_sampling_does_not_touch_the_greedy_answers(subject: Subject) -> None:
    chosen = EngineSettings(
        max_tokens=320,
        max_new_tokens=LIMITS,
        clips_per_batch=3,
        agreement_samples=2,
        agreement_temperature=2.0,
    )
    check(subject, [(name, k.ALL) for name in CLIPS], chosen)


def test_the_yardstick_is_not_a_matter_of_rounding(subject: Subject) -> None:
    margins = [
        subject.plain(name, kind, adapter).margin
        for name in CLIPS for kind in k.ALL for adapter in ADAPTERS
    ]  # fmt: skip
    assert min(margins) > 5 * ROUNDING


def test_the_subjects_say_different_things(random_subject: Subject, trained_subject: Subject) -> None:
    for subject in (random_subject, trained_subject):
        texts = {
            subject.text(subject.plain(name, kind, adapter))
            for name in CLIPS
            for kind in k.ALL
            for adapter in ADAPTERS
        }
        assert len(texts) > 8
    said = {
        trained_subject.text(trained_subject.plain(name, k.CRASH_RECOGNITION, "linguistic")) for name in CLIPS
    }
    assert said == {"Yes", "No"}
    ended = {
        trained_subject.loaded.tokenizer.eos_token_id
        in trained_subject.plain(name, kind, "linguistic").tokens
        for name in CLIPS
        for kind in k.LINGUISTIC
    }
    assert True in ended


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_answers_equal_one_call_per_question_on_a_gpu(base_dir: Path, adapters: dict[str, Path]) -> None:
    loaded = load(base_dir, adapters, device="cuda", dtype=torch.float32, attn="sdpa")
    on_gpu = Subject(sharpen(loaded, 3.0))
    for batch in (1, 2, 4, 6):
        for chunk in (None, 64):
            for gate in (True, False):
                chosen = EngineSettings(
                    max_tokens=320,
                    max_new_tokens=LIMITS,
                    gate_localisation=gate,
                    prefill_chunk=chunk,
                    clips_per_batch=batch,
                )
                check(on_gpu, [(name, k.ALL) for name in CLIPS], chosen)
