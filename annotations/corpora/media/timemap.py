"""Exact frame times of a clip and of its browser proxy.

A `TimeMap` holds the presentation time of every frame, in integer microseconds after the first frame. Frame
k of the map is the k-th picture that a sequential decode of the file outputs. A `ProxyMap` says which
source frame each frame of a constant-rate proxy shows, so that a moment picked in the browser goes back to
the source without drift.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Self

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

MICROSECONDS = 1_000_000
STANDARD_RATES: tuple[Fraction, ...] = (
    Fraction(1),
    Fraction(2),
    Fraction(5),
    Fraction(10),
    Fraction(12),
    Fraction(25, 2),
    Fraction(15),
    Fraction(20),
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(48),
    Fraction(50),
    Fraction(60000, 1001),
    Fraction(60),
    Fraction(100),
    Fraction(120),
)
"""Frames per second that cameras and editors use, ascending."""

_EXACT = 2**62
"""Below this, sums and products stay exact in 64 bits."""

_MAGIC = b"TM1\0"
_HEADER = struct.Struct("<4sqqq")  # magic, frame count, start_us, duration_us
_MAX_JITTER_US = 6_000  # GIF delays are whole hundredths of a second: up to 5 ms off a constant rate
_SNAP_US = 1_000  # millisecond containers: this frame and the first are each up to 0.5 ms off


class TimeMapError(ValueError):
    """The times do not describe a clip, or stored bytes are not a time map."""


def frame_time_us(frame: int, fps: Fraction) -> int:
    """Time of `frame` at a constant rate in microseconds, rounded half up: floor(frame / fps * 1e6 + 1/2)."""
    return (2 * frame * MICROSECONDS * fps.denominator + fps.numerator) // (2 * fps.numerator)


def constant_times_us(frames: int, fps: Fraction) -> Int64Array:
    """`frame_time_us` of frames 0 .. frames-1, int64 [frames]."""
    if (2 * frames * MICROSECONDS * fps.denominator + fps.numerator) >= _EXACT:
        return np.fromiter((frame_time_us(k, fps) for k in range(frames)), dtype=np.int64, count=frames)
    counted = np.arange(frames, dtype=np.int64) * (2 * MICROSECONDS * fps.denominator)
    return (counted + fps.numerator) // (2 * fps.numerator)


def ticks_to_us(ticks: int, time_base: Fraction) -> int:
    """Container ticks to microseconds, rounded half up; exact in integers however large the ticks."""
    scaled = 2 * ticks * time_base.numerator * MICROSECONDS
    return (scaled + time_base.denominator) // (2 * time_base.denominator)


def _all_to_us(ticks: Sequence[int], time_base: Fraction) -> Int64Array:
    """`ticks_to_us` of ascending ticks from 0 on, int64 [ticks]. TimeMapError beyond what microseconds can count."""
    factor = 2 * time_base.numerator * MICROSECONDS
    if ticks[-1] * factor + time_base.denominator < _EXACT:
        return (np.array(ticks, dtype=np.int64) * factor + time_base.denominator) // (
            2 * time_base.denominator
        )
    if ticks_to_us(ticks[-1], time_base) >= _EXACT:
        raise TimeMapError("the frames lie further apart than can be counted in microseconds")
    return np.array([ticks_to_us(tick, time_base) for tick in ticks], dtype=np.int64)


def jitter_limit_us(fps: Fraction) -> Fraction:
    """How far a frame may lie from k/fps for the clip to count as constant: 1/8 of a frame, at most 6 ms."""
    return min(Fraction(_MAX_JITTER_US), Fraction(MICROSECONDS, 8) / fps)


@dataclass(frozen=True, eq=False)
class TimeMap:
    """Presentation times of a clip.

    `times_us`: int64 [frames], strictly increasing, first 0. `duration_us`: end of the last frame, after
    its start.
    `start_us`: time of the first frame on the file's own clock (players that do not subtract it are off by
    it). Raises TimeMapError when these do not hold.
    """

    times_us: Int64Array
    duration_us: int
    start_us: int = 0

    def __post_init__(self) -> None:
        times = np.array(self.times_us, dtype=np.int64)
        if times.ndim != 1 or times.size == 0:
            raise TimeMapError("a time map needs at least one frame")
        if times[0] != 0:
            raise TimeMapError(f"the first frame must be at 0 us, not {times[0]}")
        if bool((np.diff(times) <= 0).any()):
            raise TimeMapError("frame times must increase strictly")
        if self.duration_us <= int(times[-1]):
            raise TimeMapError(
                f"duration {self.duration_us} us is not after the last frame at {times[-1]} us"
            )
        times.setflags(write=False)
        object.__setattr__(self, "times_us", times)

    @classmethod
    def constant(cls, frames: int, fps: Fraction, *, start_us: int = 0) -> Self:
        """The map of `frames` frames at exactly `fps`; lasts frames/fps seconds."""
        return cls(constant_times_us(frames, fps), frame_time_us(frames, fps), start_us)

    @classmethod
    def from_ticks(
        cls, ticks: Iterable[int], time_base: Fraction, *, last_ticks: int = 0, start_us: int | None = None
    ) -> Self:
        """From presentation times in container ticks, in the decoder's output order.

        Some demuxers hand out times in the wrong order or twice (AVI with B-frames). A decoder outputs
        pictures in presentation order, so the times are sorted and the k-th belongs to the k-th picture;
        equal times move apart by one microsecond. `last_ticks` is how long the last frame stays (0: as long
        as the median frame).
        """
        ordered = sorted(ticks)
        if not ordered:
            raise TimeMapError("a time map needs at least one frame")
        first = ordered[0]
        times = _all_to_us([tick - first for tick in ordered], time_base)
        if (np.diff(times) <= 0).any():
            for k in range(1, times.size):
                times[k] = max(times[k], times[k - 1] + 1)
        last = int(times[-1])
        end = ticks_to_us(ordered[-1] + last_ticks - first, time_base) if last_ticks > 0 else 0
        if end <= last:
            end = last + (int(np.median(np.diff(times))) if times.size > 1 else 100_000)
        if start_us is None:
            start_us = ticks_to_us(first, time_base)
        return cls(times, max(end, last + 1), start_us)

    def __len__(self) -> int:
        return int(self.times_us.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeMap):
            return NotImplemented
        return (
            self.duration_us == other.duration_us
            and self.start_us == other.start_us
            and np.array_equal(self.times_us, other.times_us)
        )

    def __hash__(self) -> int:
        return hash((self.duration_us, self.start_us, self.times_us.tobytes()))

    def encode(self) -> bytes:
        """Compact bytes: a header and the zlib-packed differences between frame times."""
        deltas = np.diff(self.times_us).astype("<i8")
        header = _HEADER.pack(_MAGIC, len(self), self.start_us, self.duration_us)
        return header + zlib.compress(deltas.tobytes(), 9)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The map that `encode` wrote; TimeMapError when the bytes are anything else."""
        data = bytes(data)
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise TimeMapError("these bytes are not a time map")
        _, frames, start_us, duration_us = _HEADER.unpack_from(data)
        try:
            deltas = np.frombuffer(zlib.decompress(data[_HEADER.size :]), dtype="<i8")
        except (zlib.error, ValueError) as error:
            raise TimeMapError(f"damaged time map: {error}") from error
        if deltas.size != frames - 1:
            raise TimeMapError(f"damaged time map: {deltas.size} differences for {frames} frames")
        times = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(deltas, dtype=np.int64)])
        return cls(times, duration_us, start_us)

    def time_of(self, frame: int) -> int:
        """Time of `frame` in microseconds; IndexError outside 0 .. len-1."""
        if not 0 <= frame < len(self):
            raise IndexError(f"frame {frame} of a clip with {len(self)} frames")
        return int(self.times_us[frame])

    def frame_at(self, us: int) -> int:
        """The frame on screen at `us`: the last one that started by then (the first frame before 0)."""
        return max(0, int(np.searchsorted(self.times_us, us, side="right")) - 1)

    def fits(self, fps: Fraction) -> bool:
        """Whether every frame k lies at k/fps, within `jitter_limit_us`."""
        return self._deviation_us(fps) <= jitter_limit_us(fps)

    def constant_rate(self, declared: Fraction | None = None) -> Fraction | None:
        """The constant frame rate, or None when the rate varies.

        A standard rate is preferred where it is within a millisecond everywhere (of two such, the one
        that is `declared`, by the container), then `declared`, then the measured mean rate. None for fewer than
        two frames.
        """
        if len(self) < 2:
            return None
        mean = Fraction((len(self) - 1) * MICROSECONDS, int(self.times_us[-1]))
        near = [rate for rate in STANDARD_RATES if abs(rate - mean) < mean / 8]
        snapping = [
            rate
            for rate in near
            if self._deviation_us(rate) <= min(Fraction(_SNAP_US), jitter_limit_us(rate))
        ]
        if declared in snapping:  # whole milliseconds cannot tell a short clip at 59.94 from one at 60
            return declared
        if snapping:
            return min(snapping, key=self._deviation_us)
        others = [rate for rate in (declared, mean.limit_denominator(1001), mean) if rate]
        fitting = [rate for rate in [*others, *near] if self.fits(rate)]
        return min(fitting, key=self._deviation_us, default=None)

    def average_rate(self) -> Fraction:
        """Mean frames per second: the constant rate where there is one, else frames / duration."""
        constant = self.constant_rate()
        if constant is not None:
            return constant
        return Fraction(len(self) * MICROSECONDS, self.duration_us).limit_denominator(100_000)

    def _deviation_us(self, fps: Fraction) -> int:
        off = np.abs(self.times_us - constant_times_us(len(self), fps))
        return int(off.max())


@dataclass(frozen=True)
class ProxyMap:
    """Which source frame each proxy frame shows, and the way between source time and proxy frame.

    The rule, which the proxy is made by. Proxy frame n is on screen from n/fps to (n+1)/fps.
    - Source of constant rate `fps` with as many frames (`one_to_one`): proxy frame n shows source frame n.
    - Anything else: proxy frame n shows the source frame on screen at n/fps, rounded to microseconds
      as `frame_time_us` does (so that a source frame exactly on the proxy's grid is shown by its own proxy
      frame).
    Proxy frame `frame_count` is the end of the clip and stands for the source's duration.
    Every time of a source frame that the proxy shows survives source -> proxy -> source unchanged.
    """

    source: TimeMap
    fps: Fraction
    frame_count: int
    one_to_one: bool = field(init=False)
    source_frames: Int64Array = field(init=False, repr=False, compare=False)
    """int64 [frame_count], non-decreasing: the source frame that each proxy frame shows."""

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.frame_count < 1:
            raise TimeMapError(
                f"a proxy needs a rate and frames, not {self.fps} fps, {self.frame_count} frames"
            )
        same = self.frame_count == len(self.source) and self.source.fits(self.fps)
        if same:
            shown: Int64Array = np.arange(self.frame_count, dtype=np.int64)
        else:
            instants = constant_times_us(self.frame_count, self.fps)
            started = np.searchsorted(self.source.times_us, instants, side="right")
            shown = np.maximum(started - 1, 0).astype(np.int64)
        shown.setflags(write=False)
        object.__setattr__(self, "one_to_one", same)
        object.__setattr__(self, "source_frames", shown)

    @classmethod
    def plan(cls, source: TimeMap, *, declared: Fraction | None = None, cap: Fraction = Fraction(60)) -> Self:
        """The proxy to make for `source`.

        Constant rate: that rate, frame for frame. Variable rate: the lowest standard rate at or above the
        median rate that shows every source frame; `cap` when none up to it does (see `hidden_frames`).
        """
        constant = source.constant_rate(declared)
        if constant is not None and len(source) > 1:
            return cls(source, constant, len(source))
        gaps = np.diff(source.times_us)
        median = Fraction(MICROSECONDS, max(1, int(np.median(gaps)))) if gaps.size else Fraction(10)
        for rate in STANDARD_RATES:
            if min(median, cap) * Fraction(9995, 10_000) <= rate < cap:
                planned = cls(source, rate, _frames_to_cover(source, rate))
                if planned.hidden_frames == 0:
                    return planned
        return cls(source, cap, _frames_to_cover(source, cap))

    @property
    def hidden_frames(self) -> int:
        """How many source frames no proxy frame shows (two closer together than one proxy frame)."""
        return len(self.source) - int(np.unique(self.source_frames).size)

    def proxy_time_us(self, frame: int) -> int:
        """When proxy frame `frame` (0 .. frame_count) comes on screen in the proxy, rounded half up."""
        return frame_time_us(frame, self.fps)

    def proxy_frame(self, source_us: int) -> int:
        """The first proxy frame, 0 .. frame_count - 1, that shows the source frame on screen at `source_us`.

        Where the proxy hides that frame: the next proxy frame (the last one at the end).
        """
        wanted = self.source.frame_at(source_us)
        first = int(np.searchsorted(self.source_frames, wanted, side="left"))
        return min(first, self.frame_count - 1)

    def proxy_boundary(self, source_us: int) -> int:
        """Like `proxy_frame`, but times at or after the duration are the end boundary `frame_count`."""
        return self.frame_count if source_us >= self.source.duration_us else self.proxy_frame(source_us)

    def source_us(self, proxy_frame: int) -> int:
        """Source time of what proxy frame `proxy_frame` shows; for `frame_count` the source's duration.

        IndexError outside 0 .. frame_count.
        """
        if proxy_frame == self.frame_count:
            return self.source.duration_us
        if not 0 <= proxy_frame < self.frame_count:
            raise IndexError(f"proxy frame {proxy_frame} of {self.frame_count}")
        return self.source.time_of(int(self.source_frames[proxy_frame]))


def _frames_to_cover(source: TimeMap, fps: Fraction) -> int:
    """Fewest proxy frames that last as long as the source and reach its last frame."""
    until_end = -(-source.duration_us * fps.numerator // (MICROSECONDS * fps.denominator))
    last = int(source.times_us[-1])
    reach_last = -(-last * fps.numerator // (MICROSECONDS * fps.denominator)) + 1
    return max(1, int(until_end), int(reach_last))
