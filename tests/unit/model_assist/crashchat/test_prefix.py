"""The parts that answering and training share: features, prefix embeddings, prefill, extension."""

import itertools
from pathlib import Path

import pytest
import torch

from model_assist.crashchat.frames import read_frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import (
    Watch,
    branch,
    encode_clip,
    encode_frames,
    extend,
    left_pad,
    prefill,
)
from model_assist.crashchat.preprocess import ClipInputs, preprocess
from model_assist.crashchat.prompts import DEFAULT_PROMPTS, prefix_text, suffix_text

QUESTIONS = [DEFAULT_PROMPTS[k] for k in ("crash_recognition", "prevention_reasoning", "crash_localization")]


@pytest.fixture(scope="module")
def inputs(clip: Path) -> ClipInputs:
    return preprocess(read_frames(clip, max_tokens=320), max_tokens=320)


@pytest.fixture(scope="module")
def prefix_ids(clip: Path, inputs: ClipInputs, bare: LoadedModel) -> torch.Tensor:
    text = prefix_text([i * 100_000 for i in range(20)], inputs.token_counts)
    return torch.tensor([bare.tokenizer.encode(text, add_special_tokens=False)])


@pytest.mark.parametrize("chunk", [None, 64])
@torch.inference_mode()
def test_extending_a_prefix_gives_the_logits_of_the_joint_prompt(
    bare: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor, chunk: int | None
) -> None:
    network, tokenizer = bare.network, bare.tokenizer
    prefix = prefill(network, prefix_ids, encode_clip(network, inputs), chunk=chunk)
    suffixes = [tokenizer.encode(suffix_text(q), add_special_tokens=False) for q in QUESTIONS]
    ids, mask = left_pad(suffixes, tokenizer.pad_token_id, bare.device)
    mask = torch.cat([mask.new_ones(len(suffixes), prefix.length), mask], 1)
    hidden = extend(network, branch(prefix, len(suffixes)), ids, mask)
    for row, suffix in enumerate(suffixes):
        joint = network(
            input_ids=torch.cat([prefix_ids, torch.tensor([suffix])], 1),
            pixel_values_videos=inputs.pixels,
            video_grid_thw=inputs.grid,
            video_merge_sizes=inputs.merge,
            video_compression_mask=inputs.keep,
        ).logits[0, -len(suffix) :]
        assert torch.allclose(network.lm_head(hidden[row, -len(suffix) :]), joint, atol=1e-4)
    assert prefix.cache.get_seq_length() == prefix.length


@torch.inference_mode()
def test_the_vision_features_are_the_same_under_every_adapter(
    loaded: LoadedModel, bare: LoadedModel, inputs: ClipInputs
) -> None:
    expected = encode_clip(bare.network, inputs)
    for name in loaded.adapters:
        loaded.use(name)
        assert torch.equal(encode_clip(loaded.network, inputs), expected)


@pytest.mark.parametrize("cuts", [[7], [1, 2, 19], list(range(1, 20))])
@torch.inference_mode()
def test_parts_of_a_clip_put_together_are_the_clip(
    bare: LoadedModel, inputs: ClipInputs, cuts: list[int]
) -> None:
    whole = encode_clip(bare.network, inputs)
    bounds = [0, *cuts, 20]
    parts = [encode_frames(bare.network, inputs, a, b) for a, b in itertools.pairwise(bounds)]
    assert torch.allclose(torch.cat(parts), whole, atol=1e-5)
    assert whole.shape[0] == int(inputs.keep.sum())


def test_a_prefix_of_another_clip_is_refused(
    bare: LoadedModel, inputs: ClipInputs, prefix_ids: torch.Tensor
) -> None:
    with torch.inference_mode(), pytest.raises(ValueError, match="visual tokens"):
        prefill(bare.network, prefix_ids, encode_clip(bare.network, inputs)[:-1])


def test_watched_tokens(bare: LoadedModel) -> None:
    watch = Watch.of(bare.tokenizer)
    assert len(watch.digits) == 10
    assert bare.tokenizer.decode([watch.yes[0]]).strip().lower() == "yes"
