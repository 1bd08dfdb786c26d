"""One decode for many questions about many clips."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat.batching import StackedPrefixes, prefill_rows
from model_assist.crashchat.batching_decode import Question, Sampling, decode, room_for
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import Trace, Watch, branch, extend, prefill

WORDS = ("Does it crash?", "When does the crash happen, and for how long?", "Why")
VISUAL = (9, 25, 4)


@pytest.fixture(scope="module")
def prefixes(bare: LoadedModel) -> list[tuple[list[int], torch.Tensor]]:
    torch.manual_seed(2)
    video = bare.network.config.video_token_id
    opening = bare.tokenizer.encode("user Time 0.0s:", add_special_tokens=False)
    return [
        (opening + [video] * n, torch.randn(n, bare.network.config.vision_config.hidden_size)) for n in VISUAL
    ]


def question(
    bare: LoadedModel, prefix: int, words: str, limit: int, sampling: Sampling | None = None
) -> Question:
    return Question(prefix, bare.tokenizer.encode(words, add_special_tokens=False), limit, sampling)


@torch.inference_mode()
def stack(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]], questions: list[Question]
) -> StackedPrefixes:
    return prefill_rows(bare.network, prefixes, room=room_for(questions))


@torch.inference_mode()
def alone(bare: LoadedModel, prefix: tuple[list[int], torch.Tensor], asked: Question, end: int) -> list[int]:
    """Greedy tokens of one question, by the training path's `extend`."""
    cached = prefill(bare.network, torch.tensor([prefix[0]]), prefix[1])
    cache, ids = branch(cached, 1), torch.tensor([list(asked.suffix)])
    tokens: list[int] = []
    while len(tokens) < asked.limit:
        mask = torch.ones(1, cache.get_seq_length() + ids.shape[1], dtype=torch.long)
        tokens.append(int(bare.network.lm_head(extend(bare.network, cache, ids, mask)[:, -1]).argmax()))
        ids = torch.tensor([[tokens[-1]]])
        if tokens[-1] == end:
            break
    return tokens


def test_rows_of_any_mix_answer_as_they_do_alone(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    asked = [
        question(bare, prefix, words, limit)
        for prefix, words, limit in [
            (2, WORDS[0], 30), (0, WORDS[1], 3), (0, WORDS[2], 12), (2, WORDS[2], 1), (1, WORDS[1], 5),
        ]
    ]  # fmt: skip
    end = bare.tokenizer.eos_token_id
    stacked = stack(bare, prefixes, asked)
    for _ in range(2):  # the prefixes can be asked again, after rows have been swapped too
        traces = decode(bare, stacked, asked, Watch.of(bare.tokenizer))
        for one, trace in zip(asked, traces, strict=True):
            assert trace.tokens + [end] * trace.ended == alone(bare, prefixes[one.prefix], one, end)
            assert len(trace.tokens) + trace.ended == len(trace.logprobs)


def test_finished_clips_leave_the_batch_and_finished_questions_take_no_slots(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    asked = [question(bare, i, WORDS[i], limit) for i, limit in enumerate((3, 2, 24))]
    asked.append(question(bare, 2, WORDS[0], 6))
    stacked, shapes = stack(bare, prefixes, asked), []
    hook = bare.network.model.language_model.norm.register_forward_hook(
        lambda module, given, output: shapes.append(tuple(output.shape[:2]))
    )
    try:
        traces = decode(bare, stacked, asked, Watch())
    finally:
        hook.remove()
    assert [len(t.logprobs) for t in traces] == [3, 2, 24, 6]
    assert shapes[1:] == [(3, 2), (2, 2), (1, 2), (1, 2), (1, 2)] + [(1, 1)] * 18
    assert shapes[0][0] == 3


def test_logits_are_computed_for_the_newest_positions_only(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    asked = [question(bare, i, words, 4) for i in range(3) for words in WORDS]
    seen: list[int] = []
    hook = bare.network.lm_head.register_forward_hook(
        lambda module, given, output: seen.append(output.numel() // output.shape[-1])
    )
    try:
        decode(bare, stack(bare, prefixes, asked), asked, Watch())
    finally:
        hook.remove()
    assert seen == [9, 9, 9, 9]


def test_too_little_room_is_refused(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    asked = [question(bare, 0, WORDS[0], 5)]
    stacked = stack(bare, prefixes, asked)
    with pytest.raises(ValueError, match="room"):
        decode(bare, stacked, [*asked, *asked], Watch())
    assert decode(bare, stacked, [], Watch()) == []


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=7))
def test_room_is_what_the_widest_row_of_every_step_takes(rows: list[tuple[int, int, int]]) -> None:
    asked = [Question(prefix, [0] * size, limit) for prefix, size, limit in rows]
    by_row = [[q for q in asked if q.prefix == p] for p in range(3)]
    slots = max(sum(len(q.suffix) for q in row) for row in by_row)
    for step in range(1, max(q.limit for q in asked)):
        slots += max(sum(q.limit > step for q in row) for row in by_row)
    assert room_for(asked) == slots


def sampled(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]], asked: list[Question]
) -> list[Trace]:
    return decode(bare, stack(bare, prefixes, asked), asked, Watch.of(bare.tokenizer))


def test_samples_depend_on_their_seed_and_on_nothing_else(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    draws = [Sampling.of(1.5, 7, "kind", n) for n in range(4)]
    asked = [question(bare, 1, WORDS[1], 12, draw) for draw in draws]
    together = sampled(bare, prefixes, [question(bare, 0, WORDS[0], 9), *asked])[1:]
    apart = [sampled(bare, prefixes, [one])[0] for one in asked]
    assert [t.tokens for t in together] == [t.tokens for t in apart]
    assert len({tuple(t.tokens) for t in together}) > 1
    assert draws[0] == Sampling.of(1.5, 7, "kind", 0)
    assert len({d.seed for d in draws}) == 4


def test_cold_samples_are_greedy(bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]) -> None:
    greedy = question(bare, 0, WORDS[1], 10)
    cold = dataclasses.replace(greedy, sampling=Sampling.of(1e-6, 1))
    first, second = sampled(bare, prefixes, [greedy, cold])
    assert first.tokens == second.tokens


def test_samples_follow_the_distribution(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    count, temperature, end = 400, 0.5, bare.tokenizer.eos_token_id
    asked = [question(bare, 0, WORDS[2], 1, Sampling.of(temperature, n)) for n in range(count)]
    drawn = torch.tensor([(t.tokens or [end])[0] for t in sampled(bare, prefixes, asked)])
    cached = prefill(bare.network, torch.tensor([prefixes[0][0]]), prefixes[0][1])
    suffix = torch.tensor([list(asked[0].suffix)])
    mask = torch.ones(1, cached.length + suffix.shape[1], dtype=torch.long)
    with torch.inference_mode():
        logits = bare.network.lm_head(extend(bare.network, branch(cached, 1), suffix, mask)[0, -1])
    expected = torch.softmax(logits / temperature, -1)
    half = expected.argsort(descending=True)
    half = half[: int((expected[half].cumsum(0) < 0.5).sum()) + 1]
    share = torch.isin(drawn, half).double().mean()
    mass = float(expected[half].sum())
    assert abs(float(share) - mass) < 4 * (mass * (1 - mass) / count) ** 0.5
