"""Clips of every kind that readers stumble over, made on the spot, with the time each numbered frame is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from tests.unit.model_assist.crashchat.clips import numbered_frame

MS = Fraction(1, 1000)
X264 = {"preset": "ultrafast", "crf": "18", "g": "12", "bf": "0"}
PYRAMID = X264 | {"preset": "veryfast", "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0"}
OPEN_GOP = {
    "preset": "ultrafast",
    "crf": "18",
    "x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:b-adapt=0:log-level=none",
}
CLOSED_GOP = OPEN_GOP | {
    "x265-params": "open-gop=0:keyint=12:min-keyint=12:bframes=3:b-adapt=0:log-level=none"
}


@dataclass(frozen=True)
class Kind:
    """How to make a clip: container by its suffix, one frame per tick."""

    suffix: str
    ticks: list[int]
    time_base: Fraction = MS
    codec: str = "libx264"
    rate: Fraction = Fraction(25)
    options: tuple[tuple[str, str], ...] = tuple(X264.items())
    pix_fmt: str = "yuv420p"
    rotation: int = 0
    cut_ms: int = 0
    """Copied without decoding, so much later: an edit list hides the beginning."""

    def write(self, folder: Path) -> tuple[Path, dict[int, Fraction]]:
        """The file, and by number when each frame is shown (seconds after the first one that is)."""
        path = folder / f"clip.{self.suffix}"
        _encode(path, self)
        times = {number: tick * self.time_base for number, tick in enumerate(self.ticks)}
        if self.cut_ms:
            path = _copy_later(path, folder / f"cut.{self.suffix}", self.cut_ms)
            times = {number: at for number, at in times.items() if at >= self.cut_ms * MS}
        start = min(times.values())
        return path, {number: at - start for number, at in times.items()}


def _encode(path: Path, kind: Kind) -> None:
    convert = VideoReformatter()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind.codec, rate=kind.rate, options=dict(kind.options))
        stream.width, stream.height, stream.pix_fmt = 160, 96, kind.pix_fmt
        stream.time_base = stream.codec_context.time_base = kind.time_base
        if kind.rotation:
            stream.set_display_rotation(kind.rotation)
        for number, tick in enumerate(kind.ticks):
            rgb = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame = convert.reformat(rgb, format=kind.pix_fmt)
            frame.pts, frame.time_base = tick, kind.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _copy_later(source: Path, target: Path, later_ms: int) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                shift = round(later_ms * MS / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                new.mux(packet)
    return target


def every(step: int, count: int = 50, *, start: int = 0) -> list[int]:
    return [start + i * step for i in range(count)]


def _uneven(start: int = 0) -> list[int]:
    return np.cumsum([start, *([20, 130, 40, 300, 60] * 8)]).tolist()


def _tuple(options: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(options.items())


NTSC = Fraction(1001, 30000)
KINDS: dict[str, Kind] = {
    "constant rate": Kind("mp4", every(40)),
    "B-frames": Kind("mp4", every(40), options=_tuple(PYRAMID)),
    "variable rate": Kind("mp4", _uneven(), options=_tuple(PYRAMID)),
    "start offset": Kind("mkv", _uneven(start=700)),
    "start offset in MP4": Kind("mp4", every(40, start=2000)),
    "edit list": Kind("mp4", every(40), cut_ms=370),
    "edit list, B-frames": Kind("mp4", every(40), cut_ms=570, options=_tuple(PYRAMID)),
    "MPEG-TS": Kind("ts", every(40), options=_tuple(PYRAMID)),
    "HEVC open GOP": Kind("mp4", every(40), codec="libx265", options=_tuple(OPEN_GOP)),
    "HEVC open GOP in Matroska": Kind("mkv", every(40), codec="libx265", options=_tuple(OPEN_GOP)),
    "HEVC closed GOP": Kind("mp4", every(40), codec="libx265", options=_tuple(CLOSED_GOP)),
    "Matroska": Kind("mkv", every(40), options=_tuple(PYRAMID)),
    "WebM": Kind(
        "webm", every(40), codec="libvpx-vp9", options=(("deadline", "realtime"), ("cpu-used", "8"))
    ),
    "AVI": Kind("avi", every(1), time_base=Fraction(1, 25), codec="mpeg4", options=()),
    "AVI, B-frames": Kind(
        "avi", every(1), time_base=Fraction(1, 25), codec="mpeg4", options=(("bf", "2"), ("b_strategy", "0"))
    ),
    "AVI, Motion JPEG": Kind(
        "avi", every(1), time_base=Fraction(1, 25), codec="mjpeg", pix_fmt="yuvj420p", options=()
    ),
    "rotated by 90": Kind("mp4", every(40, 25), rotation=90),
    "rotated by 180": Kind("mp4", every(40, 25), rotation=180),
    "rotated by -90": Kind("mp4", every(40, 25), rotation=-90, options=_tuple(PYRAMID)),
    "29.97 per second": Kind("mp4", every(1), time_base=NTSC, rate=1 / NTSC),
    "60 per second": Kind(
        "mp4",
        every(1, 90),
        time_base=Fraction(1, 60),
        rate=Fraction(60),
        options=_tuple(PYRAMID | {"g": "250"}),
    ),
    "slower than the tick": Kind("mp4", every(500, 6), rate=Fraction(2)),
    "one frame": Kind("mp4", [0]),
    "two frames": Kind("mp4", [0, 40]),
    "interlaced": Kind(
        "mp4", every(40), options=_tuple(PYRAMID | {"x264-params": "interlaced=1:b-pyramid=normal"})
    ),
    "full range 4:4:4": Kind("mkv", every(40), pix_fmt="yuvj444p", options=_tuple(PYRAMID)),
    "ten bits": Kind("mkv", every(40), codec="libx265", pix_fmt="yuv420p10le", options=_tuple(CLOSED_GOP)),
}
"""By what is special about it."""

Maker = Callable[[str], tuple[Path, dict[int, Fraction]]]
