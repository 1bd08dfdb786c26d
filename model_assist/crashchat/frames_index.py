"""When each frame of a file is shown, learnt from its packets; which frames to take; which packets those need."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
import av.error
import numpy as np
import numpy.typing as npt

from model_assist.crashchat.errors import NoVideoStreamError, UndecodableError

SAMPLING_TOLERANCE_US: Final = 100
"""Slack when comparing times, as measured against ffmpeg: containers round their ticks."""

WHOLE_PICTURES: Final = ("mp4", "matroska")
"""Containers whose packets are whole pictures (in transport streams a packet may be a single field)."""

H264_IDR: Final = frozenset({5})
HEVC_IDR: Final = frozenset({19, 20})
"""NAL unit types after which nothing refers to earlier pictures (ITU-T H.264 table 7-1, H.265 table 7-1)."""


@dataclass(frozen=True)
class FrameIndex:
    """Presentation times of every frame of a file, from its packets.

    ticks: sorted presentation times in units of `time_base` seconds.  order: presentation time of each packet
    in decoding order, empty when the container does not tell.  restarts: positions in `order` before which
    the decoder needs nothing, proven from the bitstream.  sheds: unwanted pictures that nothing refers to may
    be skipped (H.264 marks them, a packet is a picture).  counted: the file stores no presentation times (AVI
    with reordered frames): frames are known by their place in the decoder's output instead.  doubts: why
    decord is not known to read this file exactly; empty where it is (constant-rate H.264 in MP4 from time zero
    without reordering, edit list or rotation).
    """

    ticks: list[int]
    time_base: Fraction
    last_duration: int
    doubts: tuple[str, ...] = ()
    order: list[int] = field(default_factory=list)
    restarts: list[int] = field(default_factory=list)
    sheds: bool = False
    counted: bool = False

    @property
    def steady(self) -> bool:
        """Whether decord is proven to be exact."""
        return not self.doubts

    @property
    def pts_us(self) -> list[int]:
        """Presentation times in microseconds, relative to the first frame."""
        return [round((t - self.ticks[0]) * self.time_base * 1_000_000) for t in self.ticks]

    @property
    def duration_us(self) -> int:
        """From the first frame's appearance to the last one's disappearance."""
        return round((self.ticks[-1] - self.ticks[0] + self.last_duration) * self.time_base * 1_000_000)

    def needed(self, wanted: set[int]) -> list[bool] | None:
        """For each packet in decoding order: must it be decoded to see the frames at the ticks `wanted`?

        Between two restarts, everything up to the last wanted frame; None when any packet may be needed.
        """
        if not self.order:
            return None
        needed = [False] * len(self.order)
        for start, end in zip([0, *self.restarts], [*self.restarts, len(self.order)], strict=True):
            last = max((i for i in range(start, end) if self.order[i] in wanted), default=start - 1)
            needed[start : last + 1] = [True] * (last + 1 - start)
        return needed


def sample_indices(
    pts_us: list[int], duration_us: int, *, fps: float = 10, max_frames: int = 96
) -> tuple[list[int], list[int]]:
    """Which frames to show and how to label them (microseconds): the published rule.

    The rule is CrashChat's (ffmpeg `fps=10:round=down`, then `numpy.linspace` down to the frame limit): output
    k is the last source frame shown before (k+1)/fps, labelled k/fps; floor(duration*fps) outputs in all.
    A source slower than `fps` repeats frames; a clip shorter than 1/fps yields its first frame.
    """
    if fps <= 0 or max_frames < 1:
        raise ValueError(f"fps and max_frames must be positive, not {fps} and {max_frames}")
    count = max(1, int(duration_us * fps / 1_000_000 + 1e-6))
    limits = (np.arange(count) + 1) * 1_000_000 / fps - SAMPLING_TOLERANCE_US
    indices = np.maximum(np.searchsorted(np.asarray(pts_us, dtype=np.int64), limits) - 1, 0)
    labels = np.rint(np.arange(count) * 1_000_000 / fps).astype(np.int64)
    if count > max_frames:
        kept = np.linspace(0, count - 1, max_frames, dtype=int)
        indices, labels = indices[kept], labels[kept]
    return indices.tolist(), labels.tolist()


def index_frames(path: str | Path) -> FrameIndex:
    """Read the presentation time of every frame without decoding (about 1 ms per thousand packets).

    Files whose packets carry no presentation times are decoded once to learn them.
    Raises NoVideoStreamError and UndecodableError.
    """
    try:
        with av.open(str(path)) as container:
            stream = video_stream(container, path)
            restart = _restart_test(stream)
            packets: list[_Packet] = []
            restarts: list[int] = []
            for packet in container.demux(stream):
                if packet.size:
                    if packet.is_keyframe and restart(packet):
                        restarts.append(len(packets))
                    packets.append(_Packet(packet))
            return _index(path, container, stream, packets, restarts)
    except av.error.FFmpegError as error:
        raise UndecodableError(f"{path}: {error.strerror or error}") from error


def video_stream(container: Any, path: str | Path) -> Any:
    """The first video stream of an opened file; raises NoVideoStreamError."""
    if not container.streams.video:
        raise NoVideoStreamError(f"{path}: the file has no video stream")
    return container.streams.video[0]


def decoded_tick(frame: Any) -> int | None:
    """When a decoded frame is shown, in ticks of its stream."""
    return frame.pts if frame.pts is not None else frame.dts  # type: ignore[no-any-return]


class _Packet:
    """What the index keeps of a packet, without its data."""

    __slots__ = ("discard", "dts", "duration", "key", "pts")

    def __init__(self, packet: Any) -> None:
        self.pts: int | None = packet.pts
        self.dts: int | None = packet.dts
        self.duration: int | None = packet.duration
        self.discard: bool = packet.is_discard
        self.key: bool = packet.is_keyframe


def _index(
    path: str | Path, container: Any, stream: Any, packets: list[_Packet], restarts: list[int]
) -> FrameIndex:
    shown = [p for p in packets if not p.discard]
    if not shown:
        raise UndecodableError(f"{path}: the video stream holds no frames")
    time_base = stream.time_base
    if time_base is None:
        raise UndecodableError(f"{path}: the video stream has no time base")
    known = [p.pts for p in shown if p.pts is not None]
    counted = _is(container, "avi") and any(p.pts != p.dts for p in packets)
    if counted:
        ticks = _ticks_by_counting(path)
    else:
        ticks = sorted(set(known)) if len(known) == len(shown) else _ticks_by_decoding(path)
    steps = np.diff(ticks)
    usual = int(np.median(steps)) if len(steps) else 0
    final = max(shown, key=lambda p: p.pts if p.pts is not None else -1).duration
    rate = stream.average_rate or stream.guessed_rate
    last = int(final or usual or (round(1 / (rate * time_base)) if rate else 0) or 1)
    order = [p.pts for p in packets if p.pts is not None]
    whole = len(order) == len(packets) and _is(container, *WHOLE_PICTURES)
    return FrameIndex(
        ticks=ticks,
        time_base=time_base,
        last_duration=last,
        doubts=tuple(_decord_doubts(container, stream, packets, steps)),
        order=order if whole else [],
        restarts=_in_order(order, restarts) if whole else [],
        sheds=whole and stream.codec_context.name == "h264",
        counted=counted,
    )


def _is(container: Any, *formats: str) -> bool:
    return any(name in formats for name in container.format.name.split(","))


def _in_order(order: list[int], restarts: list[int]) -> list[int]:
    """Those restarts that also divide the presentation times (and not the very first packet)."""
    ticks = np.asarray(order, dtype=np.int64)
    before, after = np.maximum.accumulate(ticks), np.minimum.accumulate(ticks[::-1])[::-1]
    return [i for i in restarts if i and before[i - 1] < ticks[i] == after[i]]


def _restart_test(stream: Any) -> Callable[[Any], bool]:
    """A function telling whether a key frame's packet holds an IDR picture: H.264 and HEVC only.

    Packets are read as ISO/IEC 14496-15 lays them out (each NAL unit after its length, whose size is in the
    decoder configuration); streams laid out otherwise prove nothing.
    """
    name, extra = stream.codec_context.name, stream.codec_context.extradata or b""
    if name == "h264" and len(extra) > 4 and extra[0] == 1:
        return partial(_holds_nal, size=(extra[4] & 3) + 1, shift=0, mask=0x1F, kinds=H264_IDR)
    if name == "hevc" and len(extra) > 21 and extra[0] == 1:
        return partial(_holds_nal, size=(extra[21] & 3) + 1, shift=1, mask=0x3F, kinds=HEVC_IDR)
    return lambda packet: False


def _holds_nal(packet: Any, *, size: int, shift: int, mask: int, kinds: frozenset[int]) -> bool:
    data, at = bytes(packet), 0
    while at + size < len(data):
        if data[at + size] >> shift & mask in kinds:
            return True
        at += size + int.from_bytes(data[at : at + size], "big")
    return False


def _decord_doubts(container: Any, stream: Any, packets: list[_Packet], steps: npt.NDArray[Any]) -> list[str]:
    """Every condition for decord's exactness that the file does not meet, in words."""
    presented = [p.pts for p in packets]
    conditions = {
        "it is not MP4": _is(container, "mp4"),
        "it is not H.264": stream.codec_context.name == "h264",
        "its frames are not evenly spaced": len(steps) > 0 and steps.min() == steps.max(),
        "it does not start at time zero": presented[0] == 0,
        "its frames are stored out of order": all(p.pts is not None and p.dts == p.pts for p in packets)
        and not stream.codec_context.has_b_frames,
        "an edit list hides frames": not any(p.discard for p in packets),
        "it does not start with a key frame": packets[0].key,
        "its header counts other frames": stream.frames == len(packets),
    }
    return [doubt for doubt, met in conditions.items() if not met]


def _ticks_by_decoding(path: str | Path) -> list[int]:
    ticks = [decoded_tick(frame) for frame in _decoded(path)]
    known = sorted({t for t in ticks if t is not None})
    if not known or len(known) < len(ticks):
        raise UndecodableError(f"{path}: the frames carry no presentation times")
    return known


def _ticks_by_counting(path: str | Path) -> list[int]:
    """Each frame's decoding time in the decoder's output order, which is when AVI shows it.

    The last frames, which the decoder gives up only at the end, follow one tick apart.
    """
    ticks: list[int] = []
    for frame in _decoded(path):
        after = ticks[-1] + 1 if ticks else 0
        ticks.append(after if frame.dts is None else max(frame.dts, after))
    if not ticks:
        raise UndecodableError(f"{path}: not one frame could be decoded")
    return ticks


def _decoded(path: str | Path) -> Iterator[Any]:
    with av.open(str(path)) as container:
        yield from decoded_frames(container, video_stream(container, path))


def decoded_frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in presentation order; damaged packets are skipped, as a player would."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
