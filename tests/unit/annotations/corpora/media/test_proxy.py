"""Proxies: browser-ready files whose every frame is the source frame that the map says."""

from fractions import Fraction
from pathlib import Path

import pytest

from annotations.corpora.media.findings import Code, MediaError
from annotations.corpora.media.play import proxy_size
from annotations.corpora.media.probe import Probe, probe
from annotations.corpora.media.proxy import make_proxy, needs_proxy
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from tests.shared_data import shared
from tests.unit.annotations.corpora.media.clips import (
    constant_clip,
    numbers_shown,
    rotate_tag,
    write_clip,
)


def _times(clip: Probe) -> TimeMap:
    assert clip.time_map is not None
    return clip.time_map


def _assert_exact(path: Path, out: Path) -> ProxyMap:
    times = _times(probe(path))
    info = make_proxy(path, out, times)
    proxy = ProxyMap(times, info.fps, info.frame_count)
    assert numbers_shown(out) == proxy.source_frames.tolist()
    result = probe(out)
    assert not needs_proxy(result)
    assert (result.fps, result.frame_count, result.start_us) == (info.fps, info.frame_count, 0)
    assert (result.width, result.height) == (info.width, info.height)
    return proxy


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("fps", [Fraction(10), Fraction(25, 2), Fraction(30000, 1001), Fraction(60000, 1001)])
def test_constant_sources_go_frame_for_frame(tmp_path: Path, fps: Fraction, b_frames: int) -> None:
    path = constant_clip(tmp_path / "a.mp4", 50, fps, gop=250, b_frames=b_frames)
    proxy = _assert_exact(path, tmp_path / "out" / "p.mp4")
    assert proxy.one_to_one
    assert proxy.fps == fps


def test_variable_sources_are_resampled_exactly(tmp_path: Path) -> None:
    ticks = [0, 1, 2, 4, 5, 9, 10, 11, 12, 15, 16, 20]
    path = write_clip(tmp_path / "v.mp4", ticks, Fraction(1, 30))
    proxy = _assert_exact(path, tmp_path / "p.mp4")
    assert proxy.fps == 30
    assert proxy.hidden_frames == 0


def test_irregular_sources_are_resampled_exactly(tmp_path: Path) -> None:
    ticks = [0, 61, 100, 171, 222, 301, 333, 420, 470, 540]
    proxy = _assert_exact(write_clip(tmp_path / "v.mp4", ticks, Fraction(1, 1000)), tmp_path / "p.mp4")
    assert proxy.hidden_frames == 0


def test_offset_transport_stream(tmp_path: Path) -> None:
    ticks = range(45_000, 45_000 + 40 * 3600, 3600)
    path = write_clip(tmp_path / "o.ts", ticks, Fraction(1, 90_000), container="mpegts")
    assert _assert_exact(path, tmp_path / "p.mp4").one_to_one


def test_rotated_source_becomes_upright(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 9)
    rotate_tag(path, 90)
    out = tmp_path / "p.mp4"
    make_proxy(path, out, _times(probe(path)))
    result = probe(out)
    assert (result.width, result.height, result.rotation) == (128, 160, 0)


def test_browser_ready_source_needs_no_proxy(tmp_path: Path) -> None:
    assert not needs_proxy(probe(constant_clip(tmp_path / "a.mp4", 20, faststart=True)))
    assert not needs_proxy(probe(constant_clip(tmp_path / "b.mp4", 20, faststart=True, audio_s=0.5)))


@pytest.mark.parametrize(
    "options",
    [{"b_frames": 2}, {"gop": 250}, {"faststart": False}, {"audio_s": 3.0}, {"pix_fmt": "yuv444p"}],
    ids=str,
)
def test_anything_less_needs_one(tmp_path: Path, options: dict[str, object]) -> None:
    clip = probe(constant_clip(tmp_path / "a.mp4", 20, **({"faststart": True} | options)))
    assert needs_proxy(clip)


def test_a_bad_file_has_no_proxy(tmp_path: Path) -> None:
    (tmp_path / "z.mp4").touch()
    with pytest.raises(ValueError, match="time map"):
        needs_proxy(probe(tmp_path / "z.mp4"))


def test_a_changed_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = constant_clip(tmp_path / "a.mp4", 20)
    for frames in (19, 21):
        with pytest.raises(MediaError) as caught:
            make_proxy(path, tmp_path / "out" / "p.mp4", TimeMap.constant(frames, Fraction(30)))
        assert caught.value.finding.code is Code.CORRUPT
    assert list((tmp_path / "out").iterdir()) == []


def test_a_monstrous_proxy_is_refused(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "v.mp4", [0, 1, 2, 2_000_000], Fraction(1, 30))
    with pytest.raises(MediaError) as caught:
        make_proxy(path, tmp_path / "p.mp4", _times(probe(path)))
    assert caught.value.finding.code is Code.ABSURD_SIZE


@pytest.mark.parametrize(
    ("size", "expected"),
    [((321, 181), (320, 180)), ((48, 48), (48, 48)), ((3840, 2160), (1920, 1080)), ((1, 1), (2, 2))],
)
def test_proxy_sides_are_even_and_bounded(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert proxy_size(*size) == expected


@pytest.mark.parametrize(
    "name",
    [
        "bgs_highway_cctv_video02.avi",
        "bgs_tiny_demo.avi",
        "intel_person-bicycle-car_preview.gif",
        "kenway_accident2.mp4",
    ],
)
def test_real_clips_get_a_browser_ready_proxy(tmp_path: Path, name: str) -> None:
    path = shared("data", "clips", name)
    clip = probe(path)
    info = make_proxy(path, tmp_path / "p.mp4", _times(clip), declared_fps=clip.declared_fps)
    result = probe(tmp_path / "p.mp4")
    assert not needs_proxy(result)
    assert (result.fps, result.frame_count) == (info.fps, info.frame_count)
    assert abs(result.duration_us - clip.duration_us) <= 1_000_000 / info.fps
    assert info.hidden_frames == 0
