"""Probing: exact times of every kind of clip, and a named finding for every kind of damage."""

import random
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from annotations.corpora.media.findings import Code, Severity
from annotations.corpora.media.probe import probe
from annotations.corpora.media.timemap import TimeMap
from tests.shared_data import shared
from tests.unit.annotations.corpora.media.clips import constant_clip, rotate_tag, write_clip

RATES = [
    Fraction(10),
    Fraction(25, 2),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(60000, 1001),
]


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("fps", RATES)
def test_constant_rate_clip(tmp_path: Path, fps: Fraction, b_frames: int) -> None:
    clip = probe(constant_clip(tmp_path / "a.mp4", 40, fps, b_frames=b_frames))
    assert clip.findings == ()
    assert clip.usable
    assert clip.time_map == TimeMap.constant(40, fps)
    assert (clip.fps, clip.frame_count, clip.start_us, clip.variable_rate) == (fps, 40, 0, False)
    assert clip.has_b_frames == bool(b_frames)
    assert (clip.container, clip.codec, clip.pix_fmt) == ("mov,mp4,m4a,3gp,3g2,mj2", "h264", "yuv420p")
    assert (clip.width, clip.height, clip.rotation) == (160, 128, 0)
    assert clip.gop_max == 12
    assert clip.size_bytes == (tmp_path / "a.mp4").stat().st_size
    assert not clip.has_audio


def test_index_first_is_seen(tmp_path: Path) -> None:
    assert probe(constant_clip(tmp_path / "a.mp4", 5, faststart=True)).faststart
    assert not probe(constant_clip(tmp_path / "b.mp4", 5, faststart=False)).faststart


def test_variable_rate_clip(tmp_path: Path) -> None:
    ticks = [0, 3, 6, 12, 15, 24, 27, 30, 33, 42]
    clip = probe(write_clip(tmp_path / "v.mp4", ticks, Fraction(1, 90)))
    assert clip.codes == {Code.VARIABLE_FRAME_RATE}
    assert clip.usable
    assert clip.variable_rate
    assert clip.time_map is not None
    assert clip.time_map.times_us.tolist() == [(2 * t * 1_000_000 + 90) // 180 for t in ticks]


@pytest.mark.parametrize(("suffix", "container"), [("ts", "mpegts"), ("mkv", "matroska")])
def test_offset_start_is_kept_apart(tmp_path: Path, suffix: str, container: str) -> None:
    ticks = range(50_000, 50_000 + 30 * 400, 400)
    clip = probe(write_clip(tmp_path / f"o.{suffix}", ticks, Fraction(1, 10_000), container=container))
    assert Code.OFFSET_START in clip.codes
    assert clip.usable
    assert clip.start_us >= 5_000_000
    assert clip.fps == 25
    assert clip.time_map is not None
    assert clip.time_map.times_us[0] == 0
    assert clip.time_map.constant_rate() == 25


def test_a_gif(tmp_path: Path) -> None:
    clip = probe(
        constant_clip(tmp_path / "a.gif", 12, Fraction(10), container="gif", codec="gif", pix_fmt="rgb8")
    )
    assert clip.usable
    assert (clip.codec, clip.frame_count, clip.fps) == ("gif", 12, 10)


def test_a_tiny_clip_is_reported_and_usable(tmp_path: Path) -> None:
    clip = probe(constant_clip(tmp_path / "a.mp4", 9, size=(48, 48)))
    assert clip.codes == {Code.TOO_SMALL}
    assert clip.usable


def test_rotation_swaps_the_displayed_sides(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 9)
    rotate_tag(path, 90)
    clip = probe(path)
    assert clip.rotation in (90, 270)
    assert (clip.width, clip.height) == (128, 160)


def test_longer_audio(tmp_path: Path) -> None:
    clip = probe(constant_clip(tmp_path / "a.mp4", 20, audio_s=3.0))
    assert clip.has_audio
    assert clip.codes == {Code.AUDIO_LONGER}
    assert clip.usable


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "z.mp4"
    path.touch()
    clip = probe(path)
    assert clip.codes == {Code.ZERO_BYTE}
    assert not clip.usable
    assert clip.time_map is None
    assert "z.mp4" in clip.findings[0].message


@pytest.mark.parametrize("name", ["t.mp4", "t.txt", "t.avi"])
def test_text_is_not_a_video(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("this is a shopping list\n" * 200)
    assert probe(path).codes == {Code.NOT_A_VIDEO}


def test_a_playlist_opens_nothing_else(tmp_path: Path) -> None:
    video = constant_clip(tmp_path / "a.mp4", 5)
    playlist = tmp_path / "p.mp4"
    playlist.write_text(f"ffconcat version 1.0\nfile '{video.name}'\n")
    assert probe(playlist).codes == {Code.NOT_A_VIDEO}


def test_sound_alone_has_no_video_stream(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as target:
        sound = target.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
    assert probe(path).codes == {Code.NO_VIDEO_STREAM}


def test_cut_before_the_index(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 40, faststart=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = probe(path)
    assert clip.codes == {Code.TRUNCATED}
    assert clip.findings[0].data["missing_bytes"] > 0


def test_cut_after_the_index(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 60, faststart=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    clip = probe(path)
    truncated = next(f for f in clip.findings if f.code is Code.TRUNCATED)
    assert truncated.severity is Severity.ERROR
    assert truncated.data["declared_frames"] == 60
    assert truncated.data["frames"] < 60
    assert not clip.usable


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes(tmp_path: Path, seed: int) -> None:
    path = constant_clip(tmp_path / "a.mp4", 60, faststart=True)
    data = bytearray(path.read_bytes())
    rng = random.Random(seed)
    start = data.index(b"mdat") + 4
    for place in range(start + (len(data) - start) // 4, len(data), 40):
        data[place] = rng.randrange(256)
    path.write_bytes(bytes(data))
    clip = probe(path)
    assert Code.CORRUPT in clip.codes
    assert not clip.usable


def test_findings_are_ready_for_json(tmp_path: Path) -> None:
    path = tmp_path / "z.mp4"
    path.touch()
    finding = probe(path).findings[0].as_dict()
    assert finding == {
        "code": "zero_byte",
        "severity": "error",
        "message": "z.mp4 is empty (0 bytes)",
        "data": {},
    }


def test_absent_file_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        probe(tmp_path / "absent.mp4")


def test_every_real_clip_has_times_or_an_error() -> None:
    clips = [path for path in sorted(shared("data", "clips").iterdir()) if path.suffix != ".json"]
    assert clips
    for path in clips:
        clip = probe(path)
        failed = any(finding.severity is Severity.ERROR for finding in clip.findings)
        assert (clip.time_map is not None) != failed, path.name
        assert clip.usable, (path.name, clip.findings)
