"""Answers from the shared prefix equal answers computed the plain way."""

from pathlib import Path

import pytest
import torch

from model_assist.crashchat.frames import read_frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import Prefix, Trace, Watch, answer_batch, encode_clip, prefill
from model_assist.crashchat.preprocess import ClipInputs, preprocess
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text, suffix_text

LIMIT = 12
QUESTIONS = [DEFAULT_PROMPTS[k] for k in ("crash_recognition", "prevention_reasoning", "crash_localization")]


@pytest.fixture(scope="module")
def inputs(clip: Path) -> ClipInputs:
    return preprocess(read_frames(clip, max_tokens=320), max_tokens=320)


@pytest.fixture(scope="module")
def prefix_ids(clip: Path, inputs: ClipInputs, bare: LoadedModel) -> torch.Tensor:
    text = prefix_text([i * 100_000 for i in range(20)], inputs.token_counts)
    return torch.tensor([bare.tokenizer.encode(text, add_special_tokens=False)])


def suffixes(loaded: LoadedModel) -> list[list[int]]:
    return [loaded.tokenizer.encode(suffix_text(q), add_special_tokens=False) for q in QUESTIONS]


@torch.inference_mode()
def plain(
    loaded: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor
) -> tuple[list[list[int]], list[list[float]]]:
    """Every question by itself through transformers' own generate(), pixels and all."""
    tokens, logprobs = [], []
    for suffix in suffixes(loaded):
        ids = torch.cat([prefix_ids, torch.tensor([suffix])], 1)
        output = loaded.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values_videos=inputs.pixels,
            video_grid_thw=inputs.grid,
            video_merge_sizes=inputs.merge,
            video_compression_mask=inputs.keep,
            max_new_tokens=LIMIT,
            return_dict_in_generate=True,
            output_logits=True,
        )
        new = output.sequences[0, ids.shape[1] :]
        chosen = [
            torch.log_softmax(step[0], -1)[t].item() for step, t in zip(output.logits, new, strict=True)
        ]
        tokens.append(new.tolist())
        logprobs.append(chosen)
    return tokens, logprobs


def shared(
    loaded: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor, chunk: int | None = None
) -> list[Trace]:
    with torch.inference_mode():
        prefix = prefill(loaded.network, prefix_ids, encode_clip(loaded.network, inputs), chunk=chunk)
    rows = suffixes(loaded)
    return answer_batch(loaded, prefix, rows, [LIMIT] * len(rows), Watch.of(loaded.tokenizer))


def check_equal(traces: list[Trace], expected: tuple[list[list[int]], list[list[float]]], end: int) -> None:
    for trace, tokens, logprobs in zip(traces, *expected, strict=True):
        assert trace.tokens + [end] * trace.ended == tokens
        assert trace.logprobs == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize("chunk", [None, 64])
def test_the_base_answers_as_generate_does(
    bare: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor, chunk: int | None
) -> None:
    end = bare.tokenizer.eos_token_id
    check_equal(shared(bare, inputs, prefix_ids, chunk), plain(bare, inputs, prefix_ids), end)


def test_adapters_answer_as_generate_does_and_differ(
    loaded: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor
) -> None:
    said = []
    for name in loaded.adapters:
        loaded.use(name)
        traces = shared(loaded, inputs, prefix_ids)
        check_equal(traces, plain(loaded, inputs, prefix_ids), loaded.tokenizer.eos_token_id)
        said.append([t.tokens for t in traces])
    assert said[0] != said[1]


def test_the_vision_features_are_the_same_under_every_adapter(
    loaded: LoadedModel, bare: LoadedModel, inputs: ClipInputs
) -> None:
    with torch.inference_mode():
        expected = encode_clip(bare.network, inputs)
        for name in loaded.adapters:
            loaded.use(name)
            assert torch.equal(encode_clip(loaded.network, inputs), expected)


def test_rows_have_their_own_limits_and_the_prefix_stays_as_it_was(
    bare: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor
) -> None:
    with torch.inference_mode():
        prefix = prefill(bare.network, prefix_ids, encode_clip(bare.network, inputs))
    watch, rows = Watch.of(bare.tokenizer), suffixes(bare)
    first = answer_batch(bare, prefix, rows, [1, 5, 3], watch)
    assert [len(t.logprobs) for t in first] == [1, 5, 3]
    assert prefix.cache.get_seq_length() == prefix.length
    again = answer_batch(bare, prefix, rows, [1, 5, 3], watch)
    assert [t.tokens for t in first] == [t.tokens for t in again]
    assert answer_batch(bare, prefix, [], [], watch) == []


def test_logits_are_computed_for_the_newest_position_only(
    bare: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor
) -> None:
    seen: list[int] = []
    hook = bare.network.lm_head.register_forward_hook(
        lambda m, i, o: seen.append(i[0].numel() // i[0].shape[-1])
    )
    try:
        shared(bare, inputs, prefix_ids)
    finally:
        hook.remove()
    assert max(seen) == len(QUESTIONS)


def test_a_prefix_of_another_clip_is_refused(
    bare: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor
) -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="visual tokens"):
        prefill(bare.network, prefix_ids, encode_clip(bare.network, inputs)[:-1])


def test_watched_tokens(bare: LoadedModel) -> None:
    watch = Watch.of(bare.tokenizer)
    assert len(watch.digits) == 10
    assert bare.tokenizer.decode([watch.yes[0]]).strip().lower() == "yes"
    assert Prefix.__dataclass_fields__.keys() == {"length", "cache"}
