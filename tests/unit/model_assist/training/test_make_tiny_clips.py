"""What the dense labels say agrees with the generator's truth and with the pixels."""

from pathlib import Path

import numpy as np
import pytest

from model_assist.training.make_tiny_clips import BODIES, CELL_LABELS, Pool, TaughtClip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[TaughtClip]:
    pool = Pool(tmp_path_factory.mktemp("pool"), "7", shards=1, clips=4)
    drawn, kept = pool.draw(0), pool.read(0)
    assert [c.truth for c in drawn] == [c.truth for c in kept]
    for a, b in zip(drawn, kept, strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert np.array_equal(a.cells, b.cells)
    assert pool.read(0, pixels=False)[0].pixels.size == 0
    return kept


def test_frames_know_what_has_passed(clips: list[TaughtClip]) -> None:
    crashes = [c for c in clips if c.outcome == "crash"]
    assert crashes
    for clip in crashes:
        span = clip.truth["crash_localization"]["value"]
        assert (np.diff(clip.passed, axis=0) >= 0).all()
        first = int(np.argmax(clip.passed[:, 1]))
        step = clip.times_us[1] - clip.times_us[0]
        assert abs(clip.times_us[first] - span["start_us"]) <= 2 * step
        onsets, starts, ends = clip.passed.sum(0)
        assert onsets > starts > ends > 0
    for clip in clips:
        if clip.outcome != "crash":
            assert not clip.passed.any()


def test_tokens_know_the_road_users_in_them(clips: list[TaughtClip]) -> None:
    for clip in clips:
        rows, columns = clip.pixels.shape[1] // 28, clip.pixels.shape[2] // 28
        assert clip.cells.shape[:2] == (len(clip.times_us), rows * columns)
        kinds = clip.cells[..., : len(BODIES)]
        assert kinds.any()
        assert (kinds.any(-1) >= clip.filled).all()
        assert not clip.cells[~clip.filled][:, len(CELL_LABELS) :].any()
        assert (clip.cells[..., len(CELL_LABELS)] >= 0).all()


def test_filled_tokens_change_and_empty_ones_of_a_fixed_camera_do_not(clips: list[TaughtClip]) -> None:
    fixed = [c for c in clips if len(np.unique(c.pixels[:, 0, 0].reshape(len(c.pixels), -1), axis=0)) < 6]
    assert fixed
    for clip in fixed:
        count, high, wide, _ = clip.pixels.shape
        tokens = clip.pixels.reshape(count, high // 28, 28, wide // 28, 28, 3).swapaxes(2, 3)
        spread = tokens.astype(float).std(axis=0).mean(axis=(2, 3, 4)).ravel()
        ever, never = clip.filled.any(0), ~clip.cells[..., : len(BODIES)].any((0, 2))
        assert spread[ever].mean() > 3 * spread[never].mean()


def test_another_seed_draws_other_clips(tmp_path: Path, clips: list[TaughtClip]) -> None:
    other = Pool(tmp_path, "8", shards=1, clips=1).draw(0)[0]
    assert not np.array_equal(other.pixels[0], clips[0].pixels[0])
