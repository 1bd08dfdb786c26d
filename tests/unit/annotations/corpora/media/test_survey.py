"""Packets speak for pictures only where they tell the truth; elsewhere everything is decoded."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av.video.frame import VideoFrame

from annotations.corpora.media.decode import holds_idr
from annotations.corpora.media.probe import Probe, probe, survey
from annotations.corpora.media.proxy import needs_proxy
from annotations.corpora.media.render import PROXY, render
from tests.unit.annotations.corpora.media.clips import constant_clip, numbers_shown, picture

Kept = tuple[int, int, bool, bytes]


def encode(
    path: Path, codec: str, options: dict[str, str], *, frames: int = 60, container: str = "mp4"
) -> Path:
    """Frame k shows k at k/25 s; no scene cuts, so that key frames lie where `options` put them."""
    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for number in range(frames):
            frame = VideoFrame.from_ndarray(picture(number), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return path


def copy(
    path: Path, out: Path, keep: Callable[[Sequence[Kept]], tuple[int, int]], container: str = "mp4"
) -> Path:
    """The packets of `path` from the one that `keep` names first, its pts shifted so that the second is time 0."""
    with av.open(str(path)) as source, av.open(str(out), "w", format=container) as target:
        stream = source.streams.video[0]
        track = target.add_stream_from_template(stream)
        assert stream.time_base is not None
        packets = [
            (p.pts or 0, p.dts, p.is_keyframe, bytes(p)) for p in source.demux(stream) if p.dts is not None
        ]
        first, zero = keep(packets)
        for pts, dts, key, content in packets[first:]:
            packet = av.Packet(content)
            packet.stream, packet.is_keyframe, packet.time_base = track, key, stream.time_base
            packet.pts, packet.dts = pts - zero, dts - zero
            packet.duration = int(Fraction(1, 25) / stream.time_base)
            target.mux(packet)
    return out


def second_key(packets: Sequence[Kept]) -> int:
    return [index for index, packet in enumerate(packets) if packet[2]][1]


X264_OPEN = {
    "preset": "veryfast",
    "x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:scenecut=0",
}
X265_OPEN = {
    "preset": "ultrafast",
    "x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0:log-level=none",
}


def check(path: Path, folder: Path) -> tuple[Probe, list[int]]:
    """What survey and probe agree on, and the numbers that its proxy shows."""
    clip, whole = survey(path), probe(path)
    assert clip.usable, clip.findings
    assert clip.time_map == whole.time_map
    assert (clip.gop_max, clip.rotation, clip.start_us) == (whole.gop_max, whole.rotation, whole.start_us)
    assert render(path, folder, clip).proxy is not None
    return clip, numbers_shown(folder / PROXY)


@pytest.mark.parametrize(("codec", "options"), [("libx264", X264_OPEN), ("libx265", X265_OPEN)])
def test_open_gops(tmp_path: Path, codec: str, options: dict[str, str]) -> None:
    clip, shown = check(encode(tmp_path / "a.mp4", codec, options), tmp_path)
    assert not clip.decoded
    assert shown == list(range(60))


@pytest.mark.parametrize(("codec", "options"), [("libx264", X264_OPEN), ("libx265", X265_OPEN)])
@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_recording_that_begins_within_an_open_gop(
    tmp_path: Path, codec: str, options: dict[str, str], container: str
) -> None:
    """Pictures before the first key frame cannot be decoded: their packets are no frames."""
    whole = encode(tmp_path / "a.mp4", codec, options)

    def from_second(packets: Sequence[Kept]) -> tuple[int, int]:
        first = second_key(packets)
        return first, min(packet[0] for packet in packets[first:])

    part = copy(whole, tmp_path / "part", from_second, container)
    clip, shown = check(part, tmp_path)
    assert shown == list(range(shown[0], 60))
    assert clip.time_map is not None
    assert len(clip.time_map) == len(shown)


def test_an_edit_list_that_starts_within_a_gop(tmp_path: Path) -> None:
    """What phones and `ffmpeg -ss … -c copy` write: the pictures before the cut are there, decoded, and not shown."""
    whole = constant_clip(tmp_path / "a.mp4", 60, Fraction(25), gop=30)
    part = copy(whole, tmp_path / "part.mp4", lambda packets: (0, packets[7][0]))
    clip, shown = check(part, tmp_path)
    assert shown == list(range(7, 60))
    assert clip.findings == ()
    assert (clip.trimmed, clip.start_us, clip.frame_count, clip.gop_max) == (True, 0, 53, 30)
    assert needs_proxy(clip)


def test_idr_pictures_are_told_apart_in_both_forms() -> None:
    record = bytes([1, 100, 0, 30, 0xFF, 0xE1])
    sei, idr, slice_ = b"\x06\x05\x01", b"\x65\x88\x00\x01", b"\x41\x9a"
    for units, expected in (([sei, idr], True), ([sei, slice_], False), ([], False)):
        assert holds_idr(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units), record) is expected
        assert holds_idr(b"".join(b"\0\0\1" + unit for unit in units), b"") is expected
    assert not holds_idr(b"\xff" * 9, record)


@pytest.mark.parametrize(
    ("codec", "options", "container"),
    [
        ("libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}, "mp4"),
        ("libvpx", {"deadline": "realtime", "cpu-used": "8"}, "matroska"),
        ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1"}, "matroska"),
        (
            "libvpx-vp9",
            {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "1", "lag-in-frames": "16"},
            "mp4",
        ),
        ("mpeg4", {"bf": "2"}, "mp4"),
        ("mpeg4", {"bf": "2"}, "avi"),
        ("mpeg2video", {"bf": "2"}, "mpegts"),
        ("mpeg2video", {"flags": "+ildct+ilme"}, "mpegts"),
    ],
)
def test_other_codecs(tmp_path: Path, codec: str, options: dict[str, str], container: str) -> None:
    suffix = {"matroska": "mkv", "mpegts": "ts"}.get(container, container)
    _, shown = check(encode(tmp_path / f"a.{suffix}", codec, options, container=container), tmp_path)
    assert shown == list(range(60))


def test_interlaced_h264(tmp_path: Path) -> None:
    options = {"preset": "veryfast", "x264-params": "tff=1:bframes=2"}
    clip, shown = check(encode(tmp_path / "a.ts", "libx264", options, container="mpegts"), tmp_path)
    assert clip.decoded
    assert shown == list(range(60))
