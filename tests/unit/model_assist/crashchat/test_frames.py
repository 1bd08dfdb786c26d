"""The published sampling rule on real files: every sampled frame is the frame it should be."""

import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat import frames_pyav
from model_assist.crashchat.errors import (
    NoVideoStreamError,
    UndecodableError,
)
from model_assist.crashchat.frames import index_frames, read_frames, sample_indices
from model_assist.crashchat.sizing import target_size
from tests.shared_data import shared
from tests.unit.model_assist.crashchat.clips import number_of, steady_clip, write_clip


def shown(pixels: np.ndarray) -> list[int]:
    return [number_of(p) for p in pixels]


def test_the_rule_at_thirty_frames_per_second() -> None:
    pts = [round(i * 1e6 / 30) for i in range(150)]
    indices, labels = sample_indices(pts, 5_000_000)
    assert indices[:4] == [2, 5, 8, 11]
    assert labels == [i * 100_000 for i in range(50)]


def test_the_rule_thins_to_the_frame_limit() -> None:
    pts = [i * 40_000 for i in range(500)]
    indices, labels = sample_indices(pts, 20_000_000, max_frames=96)
    assert len(indices) == 96
    assert (labels[0], labels[-1]) == (0, 19_900_000)
    assert indices == sorted(indices)


@given(
    gaps=st.lists(st.integers(min_value=1_000, max_value=400_000), min_size=1, max_size=80),
    fps=st.sampled_from([5, 10, 12.5]),
    limit=st.integers(min_value=1, max_value=96),
)
def test_the_rule_shows_the_last_frame_before_each_tick(gaps: list[int], fps: float, limit: int) -> None:
    pts = np.cumsum([0, *gaps]).tolist()
    duration = pts[-1] + 40_000
    indices, labels = sample_indices(pts, duration, fps=fps, max_frames=limit)
    assert len(indices) == len(labels) == min(limit, max(1, int(duration * fps / 1e6 + 1e-6)))
    for index, label in zip(indices, labels, strict=True):
        end = label + 1e6 / fps
        assert index == 0 or pts[index] < end
        assert index == len(pts) - 1 or pts[index + 1] >= end - 101


@pytest.mark.parametrize("reader", ["pyav", "decord", "auto"])
def test_constant_rate(tmp_path: Path, reader: str) -> None:
    clip = steady_clip(tmp_path / "a.mp4", frames=50, rate=25)
    frames = read_frames(clip, reader=reader)  # type: ignore[arg-type]
    assert frames.reader == ("decord" if reader == "decord" else "pyav")
    assert frames.duration_us == 2_000_000
    assert (frames.width, frames.height) == (160, 96)
    assert frames.times_us == [i * 100_000 for i in range(20)]
    assert (
        shown(frames.pixels)
        == frames.source_indices
        == sample_indices([i * 40_000 for i in range(50)], 2_000_000)[0]
    )
    assert frames.source_pts_us == [i * 40_000 for i in frames.source_indices]


def test_both_readers_give_the_same_pixels(tmp_path: Path) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    assert np.array_equal(read_frames(clip, reader="pyav").pixels, read_frames(clip, reader="decord").pixels)


def test_variable_rate_starting_late(tmp_path: Path) -> None:
    times = np.cumsum([700, *([20, 130, 40, 300, 60] * 6)]).tolist()
    clip = write_clip(tmp_path / "a.mkv", times)
    frames = read_frames(clip)
    assert frames.reader == "pyav"
    assert frames.source_pts_us[0] == 0 or frames.source_indices[0] > 0
    relative = [(t - times[0]) * 1000 for t in times]
    expected = sample_indices(relative, frames.duration_us)[0]
    assert shown(frames.pixels) == frames.source_indices == expected
    assert frames.damaged == 0


def test_reordered_frames_are_read_by_the_reference(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [i * 40 for i in range(50)], b_frames=3)
    frames = read_frames(clip)
    assert not index_frames(clip).steady
    assert (
        shown(frames.pixels)
        == frames.source_indices
        == sample_indices([i * 40_000 for i in range(50)], 2_000_000)[0]
    )


def test_a_slow_source_repeats_frames(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [0, 500, 1000, 1500], rate=2)
    assert shown(read_frames(clip).pixels)[:10] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_rotation_is_honoured(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [i * 40 for i in range(25)], rotation=90)
    frames = read_frames(clip)
    assert (frames.width, frames.height, frames.reader) == (96, 160, "pyav")
    upright = [np.rot90(p, -1) for p in frames.pixels]
    assert shown(np.stack(upright)) == frames.source_indices


def test_a_budget_resizes_on_the_way(tmp_path: Path) -> None:
    clip = steady_clip(tmp_path / "a.mp4")
    frames = read_frames(clip, max_tokens=320)
    assert frames.pixels.shape[1:3] == target_size(96, 160, 20, max_tokens=320)
    assert (frames.width, frames.height) == (160, 96)


def test_damage_shows_the_frame_before(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mkv", [i * 40 for i in range(50)])
    whole = clip.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    frames = read_frames(cut)
    assert shown(frames.pixels) == frames.source_indices


def test_files_that_are_no_clips(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("not a video")
    with pytest.raises(UndecodableError, match=r"a\.mp4"):
        read_frames(text)
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(UndecodableError, match=r"empty\.mp4"):
        read_frames(tmp_path / "empty.mp4")
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        read_frames(tmp_path / "gone.mp4")


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    with pytest.raises(NoVideoStreamError, match=r"a\.wav"):
        read_frames(path)


def test_fast_decoding_shows_the_same_frames_at_the_same_size(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [i * 40 for i in range(50)], b_frames=2)
    exact, fast = (read_frames(clip, max_tokens=2000, decode=d) for d in ("exact", "fast"))
    assert exact.source_indices == fast.source_indices
    assert exact.pixels.shape == fast.pixels.shape
    assert np.abs(exact.pixels.astype(int) - fast.pixels).mean() < 4


def test_the_child_does_not_import_torch() -> None:
    heavy = "{'torch', 'transformers', 'django'}"
    code = f"import sys, model_assist.crashchat.frames; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def small_real_clips() -> list[Path]:
    return [p for p in sorted(shared("data", "clips").glob("*.mp4")) if p.stat().st_size < 700_000]


@pytest.mark.slow
def test_real_clips_read_alike_in_every_way(monkeypatch: pytest.MonkeyPatch) -> None:
    proven = 0
    for path in small_real_clips():
        auto = read_frames(path, max_tokens=2000)
        with monkeypatch.context() as patch:
            patch.setattr(frames_pyav, "_thrifty", lambda *_: None)
            thorough = read_frames(path, max_tokens=2000, reader="pyav")
        others = [thorough]
        if index_frames(path).steady:
            others.append(read_frames(path, max_tokens=2000, reader="decord"))
            proven += 1
        for other in others:
            assert auto.source_indices == other.source_indices
            assert np.array_equal(auto.pixels, other.pixels), (path.name, other.reader)
    assert proven


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="compares with the ffmpeg command")
def test_real_clips_show_what_the_published_command_shows() -> None:
    for path in small_real_clips():
        frames = read_frames(path)
        command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", "fps=10:round=down"]
        raw = subprocess.run(
            [*command, "-pix_fmt", "rgb24", "-f", "rawvideo", "-"], capture_output=True, check=True
        )
        theirs = np.frombuffer(raw.stdout, np.uint8).reshape(-1, *frames.pixels.shape[1:])
        kept = np.linspace(0, len(theirs) - 1, min(len(theirs), 96), dtype=int)
        assert np.array_equal(theirs[kept], frames.pixels), path.name
