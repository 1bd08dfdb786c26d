"""Answers to all questions about all clips of a batch, decoded together from their stacked prefixes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from model_assist.crashchat.batching import StackedPrefixes, rows_attention, rows_mask
from model_assist.crashchat.model import LoadedModel, token_id
from model_assist.crashchat.prefix import Trace, Watch
from model_assist.crashchat.prompts import TURN_END

SHARED: Final = -1
"""Owner of the slots that every question of a row may see: the prefix."""
NOBODY: Final = -2
"""Owner of padding."""
WORTH_SWAPPING: Final = 8
"""A finished clip leaves the batch when at least this many steps may follow: swapping rows copies them."""


@dataclass(frozen=True)
class Sampling:
    """Draw an answer instead of taking the most probable tokens.

    The numbers that decide are drawn from `seed` alone, one per token, so the answer depends neither on the
    device nor on what else is in the batch (up to rounding of the probabilities).
    """

    temperature: float
    seed: int

    @classmethod
    def of(cls, temperature: float, *parts: object) -> "Sampling":
        """A seed made of anything that has a text, such as the run's seed, the question and a number."""
        digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
        return cls(temperature, int.from_bytes(digest[:7], "big"))


@dataclass(frozen=True)
class Question:
    """One question about one clip.  prefix: index of the clip's prefix; limit: tokens of its answer at most."""

    prefix: int
    suffix: Sequence[int]
    limit: int
    sampling: Sampling | None = None


def room_for(questions: Sequence[Question]) -> int:
    """Slots that a row needs behind its prefix to answer these questions in one decode."""
    rows: dict[int, list[Question]] = {}
    for question in questions:
        rows.setdefault(question.prefix, []).append(question)
    suffixes = max((sum(len(q.suffix) for q in row) for row in rows.values()), default=0)
    steps = max((q.limit for q in questions), default=0)
    return suffixes + sum(
        max(sum(q.limit > t for q in row) for row in rows.values()) for t in range(1, steps)
    )


@torch.inference_mode()
def decode(
    loaded: LoadedModel, prefixes: StackedPrefixes, questions: Sequence[Question], watch: Watch
) -> list[Trace]:
    """Answer the questions in one batch; the prefixes stay as they are and can be asked again.

    Greedy unless a question says otherwise: the most probable token at every step and no penalty, as the
    published evaluation decodes.  Every question attends to its clip's prefix and to itself, at the positions
    it has alone.  ValueError when the prefixes were given too little room (`room_for`).
    """
    if not questions:
        return []
    if prefixes.width + room_for(questions) > prefixes.capacity:
        raise ValueError("the prefixes have too little room for these questions and answers")
    with rows_attention(loaded.network):
        return _Decoder(loaded, prefixes, questions, watch).run()


class _Decoder:
    """The state of one batched decode: who still answers, in which row, and who owns which slot."""

    def __init__(
        self, loaded: LoadedModel, prefixes: StackedPrefixes, questions: Sequence[Question], watch: Watch
    ) -> None:
        self.network = loaded.network
        self.end = token_id(loaded.tokenizer, TURN_END)
        self.pad = loaded.tokenizer.pad_token_id
        self.prefixes, self.questions = prefixes, questions
        self.record = _Recorder(questions, watch, self.end, loaded.device)
        config = loaded.network.model.config.get_text_config()
        self.groups = config.num_attention_heads // config.num_key_value_heads
        self.device = loaded.device
        self.at = prefixes.width
        rows = len(prefixes.lengths)
        owner = torch.full((rows, prefixes.capacity), NOBODY, dtype=torch.int32)
        for index, slot in enumerate(prefixes.slot_of):
            owner[slot, : prefixes.lengths[index]] = SHARED
        self.owner = owner.to(self.device)
        self.live: list[list[int]] = [[] for _ in prefixes.lengths]
        for number, question in enumerate(questions):
            self.live[question.prefix].append(number)

    def run(self) -> list[Trace]:
        """Suffixes first, all of a row in one step, then one token per question and step."""
        remaining = max(q.limit for q in self.questions)
        self._drop_finished_rows(remaining)
        hidden = self._suffixes()
        while True:
            order = [n for row in self._rows() for n in row]
            tokens, going = self.record.step(self._logits(hidden), order)
            remaining -= 1
            if not any(going):
                return self.record.traces
            alive = {n for n, more in zip(order, going, strict=True) if more}
            self.live = [[n for n in row if n in alive] for row in self.live]
            self._drop_finished_rows(remaining)
            hidden = self._tokens(dict(zip(order, tokens, strict=True)))

    def _rows(self) -> list[list[int]]:
        """Live questions by slot, for the rows that still take part (slots 0 to n - 1)."""
        by_slot = sorted(zip(self.prefixes.slot_of, self.live, strict=True))
        busy = max((slot + 1 for slot, row in by_slot if row), default=0)
        return [row for _, row in by_slot[:busy]]

    def _drop_finished_rows(self, remaining: int) -> None:
        """Move finished rows behind the others when that pays, so that `_rows` leaves them out."""
        if remaining < WORTH_SWAPPING:
            return
        rows = self._rows()
        slot = 0
        while slot < len(rows):
            if rows[slot] or slot == len(rows) - 1:
                slot += 1
                continue
            self.prefixes.swap(slot, len(rows) - 1)
            self.owner[[slot, len(rows) - 1]] = self.owner[[len(rows) - 1, slot]]
            rows = self._rows()

    def _suffixes(self) -> torch.Tensor:
        """The questions themselves; hidden states [live questions, hidden] of their last tokens."""
        ids: list[list[int]] = []
        positions: list[list[int]] = []
        owners: list[list[int]] = []
        last: list[tuple[int, int]] = []
        lengths = {slot: n for slot, n in zip(self.prefixes.slot_of, self.prefixes.lengths, strict=True)}
        for slot, row in enumerate(self._rows()):
            ids.append([])
            positions.append([])
            owners.append([])
            for number in row:
                suffix = self.questions[number].suffix
                ids[-1] += suffix
                positions[-1] += range(lengths[slot], lengths[slot] + len(suffix))
                owners[-1] += [number] * len(suffix)
                last.append((slot, len(ids[-1]) - 1))
        hidden = self._forward(ids, positions, owners)
        where = torch.tensor(last, device=self.device)
        return hidden[where[:, 0], where[:, 1]]

    def _tokens(self, tokens: dict[int, int]) -> torch.Tensor:
        """One step: the newest token of every live question; hidden states [live questions, hidden]."""
        rows = self._rows()
        lengths = self.prefixes.lengths
        ids = [[tokens[n] for n in row] for row in rows]
        positions = [
            [
                lengths[self.questions[n].prefix] + len(self.questions[n].suffix) + self.record.written(n) - 1
                for n in row
            ]
            for row in rows
        ]
        hidden = self._forward(ids, positions, rows)
        width = hidden.shape[1]
        where = [slot * width + column for slot, row in enumerate(rows) for column in range(len(row))]
        return hidden.flatten(0, 1)[torch.tensor(where, device=self.device)]

    def _forward(
        self, ids: list[list[int]], positions: list[list[int]], owners: list[list[int]]
    ) -> torch.Tensor:
        """Hidden states [rows, width, hidden] of ragged rows of new tokens, which take the next slots."""
        width = max(map(len, ids))
        padded = [
            [[*row, *[fill] * (width - len(row))] for row in rows]
            for rows, fill in ((ids, self.pad), (positions, 0), (owners, NOBODY))
        ]
        new_ids, new_positions, new_owners = torch.tensor(padded, device=self.device)
        count, at, end = len(ids), self.at, self.at + width
        self.owner[:count, at:end] = new_owners
        owner = self.owner[:count, :end].unsqueeze(1)
        visible = (owner == SHARED) | (owner == new_owners.unsqueeze(2))
        if (
            at == self.prefixes.width
        ):  # later steps have one token per question: nothing to hide within a step
            visible[:, :, at:] &= torch.ones(width, width, dtype=torch.bool, device=self.device).tril()
        weight = self.network.lm_head.weight
        self.prefixes.look(slice(0, count), at)
        output = self.network.model.language_model(
            input_ids=new_ids,
            position_ids=new_positions,
            attention_mask={"full_attention": rows_mask(visible, self.groups, weight.dtype)},
            past_key_values=self.prefixes.cache,
            use_cache=True,
        )
        self.at = end
        hidden: torch.Tensor = output.last_hidden_state
        return hidden

    def _logits(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network.lm_head(hidden)
        return logits.float()


class _Recorder:
    """Chooses tokens and writes down what the model thought of them, with one transfer per step."""

    def __init__(self, questions: Sequence[Question], watch: Watch, end: int, device: torch.device) -> None:
        self.traces = [Trace() for _ in questions]
        self.questions, self.watch, self.end = questions, watch, end
        self.digits = torch.tensor(watch.digits, dtype=torch.long, device=device)
        self.yes = torch.tensor(watch.yes, dtype=torch.long, device=device)
        self.no = torch.tensor(watch.no, dtype=torch.long, device=device)
        self.draws = {
            n: (q.sampling.temperature, _uniform(q.sampling.seed))
            for n, q in enumerate(questions)
            if q.sampling is not None
        }

    def written(self, number: int) -> int:
        """Tokens that a question has been answered with so far."""
        return len(self.traces[number].tokens)

    def step(self, logits: torch.Tensor, order: Sequence[int]) -> tuple[list[int], list[bool]]:
        """Take one token for each live question (`order` names the rows of `logits` [live, vocabulary]).

        Returns the tokens and which questions go on.
        """
        logprobs = torch.log_softmax(logits, -1)
        tokens = self._choose(logprobs, order)
        digits = torch.softmax(logprobs[:, self.digits], -1)
        facts = [
            tokens.double(),
            logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1).double(),
            -(digits * digits.clamp(min=1e-12).log()).sum(-1).double(),
        ]
        first = not self.traces[order[0]].logprobs
        if first:
            facts += [logprobs[:, ids].exp().sum(-1).double() for ids in (self.yes, self.no)]
        going = []
        chosen = []
        for number, values in zip(order, torch.stack(facts, 1).tolist(), strict=True):
            if first:
                self.traces[number].p_yes, self.traces[number].p_no = values[3], values[4]
            chosen.append(int(values[0]))
            going.append(self._write(number, chosen[-1], logprob=values[1], entropy=values[2]))
        return chosen, going

    def _write(self, number: int, token: int, *, logprob: float, entropy: float) -> bool:
        trace = self.traces[number]
        trace.logprobs.append(logprob)
        if token == self.end:
            trace.ended = True
            return False
        trace.tokens.append(token)
        if token in self.watch.digits:
            trace.digit_logprobs.append(logprob)
            trace.digit_entropy.append(entropy)
        return len(trace.tokens) < self.questions[number].limit

    def _choose(self, logprobs: torch.Tensor, order: Sequence[int]) -> torch.Tensor:
        """Token ids [live]: the most probable ones, or drawn by inverting the cumulated distribution."""
        tokens = logprobs.argmax(-1)
        drawn = [row for row, number in enumerate(order) if number in self.draws]
        if not drawn:
            return tokens
        draws = [self.draws[order[row]] for row in drawn]
        temperatures, numbers = [t for t, _ in draws], [next(u) for _, u in draws]
        rows = torch.tensor(drawn, device=logprobs.device)
        scale = torch.tensor(temperatures, device=logprobs.device, dtype=torch.float64).unsqueeze(1)
        steps = torch.softmax(logprobs[rows].double() / scale, -1).cumsum(-1)
        points = (
            torch.tensor(numbers, device=logprobs.device, dtype=torch.float64).unsqueeze(1) * steps[:, -1:]
        )
        tokens[rows] = torch.searchsorted(steps, points, right=True).squeeze(1).clamp(max=steps.shape[1] - 1)
        return tokens


def _uniform(seed: int) -> Iterator[float]:
    """Numbers in [0, 1), the same for the same seed on every device."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield from torch.rand(64, dtype=torch.float64, generator=generator).tolist()
