"""Plays a clip once, from its first to its last picture, into any number of takers.

Decoding is what examining a clip costs: the proxy, the thumbnail and the storyboard are made from one pass, which
also confirms that the clip shows exactly the pictures that its time map tells of.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, VideoReformatter

from annotations.corpora.media.decode import DecodeLog, decode_frames, open_video
from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.probe import times_of
from annotations.corpora.media.timemap import TimeMap

MAX_SIDE = 1920
"""Long side of a proxy at most, pixels; larger sources are scaled down."""

_TURNS = {90: [("transpose", "cclock")], 180: [("hflip", ""), ("vflip", "")], 270: [("transpose", "clock")]}
_SCALING_THREADS = 2


class Disagrees(MediaError):
    """The clip does not show the pictures that its time map tells of."""


class Taker(Protocol):
    """Is shown the pictures of a clip that it wants, in order."""

    def wants(self, frame: int) -> bool:
        """Whether `take` shall be called with that frame of the time map."""
        ...

    def take(self, frame: int, picture: VideoFrame) -> None:
        """`picture`: yuv420p as displayed; the same size every time. May be kept, not written to."""
        ...


def play(path: Path, times: TimeMap, takers: Sequence[Taker], *, flawless: bool = False) -> None:
    """Decode `path` and show each taker the pictures that it wants, upright, in the size of `proxy_size`.

    Disagrees (corrupt) when the clip decodes to other times than `times`, or, with `flawless`, when any data were
    damaged; and what `open_video` raises.
    """
    log = DecodeLog()
    with open_video(path) as (container, stream):
        declared = stream.average_rate or stream.base_rate
        upright: Upright | None = None
        for index, frame in enumerate(decode_frames(container, stream, log)):
            if index >= len(times):
                raise _disagrees(path, index + 1, len(times))
            if flawless and not log.flawless:
                break
            wanting = [taker for taker in takers if taker.wants(index)]
            if not wanting:
                continue
            upright = upright or Upright(frame, stream.codec_context.sample_aspect_ratio, log.rotation)
            picture = upright.turn(frame)
            for taker in wanting:
                taker.take(index, picture)
        time_base = stream.time_base or Fraction(1, 90_000)
    if (flawless and not log.flawless) or log.frames != len(times):
        raise _disagrees(path, log.frames, len(times))
    if times_of(log, time_base, declared)[0] != times:
        raise _disagrees(path, log.frames, len(times))


def proxy_size(width: int, height: int) -> tuple[int, int]:
    """Displayed source size to proxy size: at most MAX_SIDE, sides even and at least 2, aspect kept."""
    scale = min(1.0, MAX_SIDE / max(width, height))
    return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)


class Upright:
    """Makes decoded pictures what a viewer sees: turned, square pixels, yuv420p of limited range, even sides.

    A picture that is so already is handed on untouched, without a copy.
    """

    def __init__(self, first: VideoFrame, aspect: Fraction | None, rotation: int) -> None:
        self._turned = rotation in (90, 270)
        width = max(1, round(first.width * aspect)) if aspect and aspect > 0 else first.width
        shown = proxy_size(first.height, width) if self._turned else proxy_size(width, first.height)
        self._stored = (shown[1], shown[0]) if self._turned else shown
        self._scaler = VideoReformatter()
        self._graph = _turning(rotation, self._stored) if rotation else None

    def turn(self, frame: VideoFrame) -> VideoFrame:
        """The picture to show."""
        picture = self._scaler.reformat(
            frame, *self._stored, "yuv420p", interpolation="AREA", threads=_SCALING_THREADS,
            dst_colorspace=Colorspace.ITU601 if frame.format.is_rgb else None,
        )  # fmt: skip
        if self._graph is not None:
            self._graph.push(picture)
            picture = self._graph.vpull()
        return picture


def _turning(rotation: int, size: tuple[int, int]) -> Graph:
    graph = Graph()
    form = VideoFormat("yuv420p")
    nodes = [graph.add_buffer(width=size[0], height=size[1], format=form, time_base=Fraction(1, 90_000))]
    nodes += [graph.add(name, args) for name, args in _TURNS[rotation]]
    nodes.append(graph.add("buffersink"))
    graph.link_nodes(*nodes).configure()
    return graph


def _disagrees(path: Path, found: int, expected: int) -> Disagrees:
    message = (
        f"{path.name} decodes to {found} frames, its time map has {expected}: the file changed or is damaged"
    )
    return Disagrees(Finding(Code.CORRUPT, Severity.ERROR, message, {"frames": found, "expected": expected}))
