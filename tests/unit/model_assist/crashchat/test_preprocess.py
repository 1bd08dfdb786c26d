"""Resizing, patches and token compression."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model_assist.crashchat.frames import Frames
from model_assist.crashchat.preprocess import compression_mask, patchify, preprocess, resize
from model_assist.crashchat.sizing import target_size


def frames_of(pixels: np.ndarray, *, width: int | None = None, height: int | None = None) -> Frames:
    count = len(pixels)
    return Frames(
        pixels=pixels,
        times_us=[i * 100_000 for i in range(count)],
        source_indices=list(range(count)),
        source_pts_us=[i * 100_000 for i in range(count)],
        duration_us=count * 100_000,
        width=width or pixels.shape[2],
        height=height or pixels.shape[1],
        reader="pyav",
        fps=10,
    )


@pytest.mark.parametrize(
    ("height", "width", "frames", "budget", "expected"),
    [(720, 1280, 96, 10240, (196, 364)), (720, 1280, 96, 16384, (252, 476)), (180, 320, 24, 576, (84, 168))],
)
def test_published_sizes(
    height: int, width: int, frames: int, budget: int, expected: tuple[int, int]
) -> None:
    assert target_size(height, width, frames, max_tokens=budget) == expected


@given(
    height=st.integers(16, 2200),
    width=st.integers(16, 4000),
    frames=st.integers(1, 96),
    budget=st.integers(2000, 20000),
)
def test_sizes_are_whole_tokens_within_the_budget(height: int, width: int, frames: int, budget: int) -> None:
    rows, columns = target_size(height, width, frames, max_tokens=budget)
    assert rows % 28 == columns % 28 == 0
    tokens = (rows // 28) * (columns // 28)
    assert tokens >= 1
    if 1 / 4 < width / height < 4:
        floor_rounding = 2 * (max(height, width) / min(height, width) + 2) * 4
        assert tokens * frames <= budget or tokens <= 16 + floor_rounding


def test_sizes_refuse_nonsense() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        target_size(10, 10, 0, max_tokens=10)


def test_patches_hold_a_token_together() -> None:
    pixels = np.zeros((1, 56, 84, 3), np.uint8)
    pixels[0, :28, 28:56] = 255  # the second token of the first row
    patches = patchify(pixels)
    assert patches.shape == (24, 588)
    assert patches.view(6, 4 * 588).mean(1).tolist() == [-1, 1, -1, -1, -1, -1]
    channel = patchify(np.dstack([np.full((28, 28), v, np.uint8) for v in (0, 255, 0)])[None])
    assert channel[0].view(3, 196).mean(1).tolist() == [-1, 1, -1]


def test_resizing_is_pil_bicubic() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (1, 90, 160, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(picture[0]).resize((56, 28), Image.Resampling.BICUBIC))
    assert np.array_equal(resize(picture, 28, 56)[0], expected)


def test_the_mask_keeps_what_changes_and_one_token_per_frame() -> None:
    pixels = np.full((3, 28, 56, 3), 100, np.uint8)
    pixels[1:, :, 28:] = 101  # the second token moves by one grey level between frame 0 and 1
    mask = compression_mask(patchify(pixels), 3, 2)
    assert mask.view(3, 2).tolist() == [[True, True], [False, True], [True, False]]
    assert compression_mask(patchify(pixels[:1]), 1, 2).all()


def test_frames_resized_by_the_reader_stay_as_they_are() -> None:
    whole = np.random.default_rng(0).integers(0, 255, (4, 180, 320, 3), dtype=np.uint8)
    rows, columns = target_size(180, 320, 4, max_tokens=100)
    early = preprocess(frames_of(resize(whole, rows, columns), width=320, height=180), max_tokens=100)
    late = preprocess(frames_of(whole), max_tokens=100)
    assert torch.equal(early.pixels, late.pixels)
    assert early.grid.tolist() == late.grid.tolist() == [[4, rows // 14, columns // 14]]
    assert sum(late.token_counts) == int(late.keep.sum())


def test_the_mask_may_be_computed_as_on_gpus() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 56, 56, 3), dtype=np.uint8)
    single, half = (
        preprocess(frames_of(pixels), max_tokens=64, mask_dtype=d) for d in (torch.float32, torch.bfloat16)
    )
    assert torch.equal(single.pixels, half.pixels)
    assert single.keep.shape == half.keep.shape
