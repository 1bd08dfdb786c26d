"""Writes frames as H.264 MP4, byte for byte the same each time: one encoder thread, no dates, no version
tags."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter


@dataclass(frozen=True)
class Timing:
    """Presentation times of a clip: `ticks` [frames] of `time_base` seconds; the last frame lasts 1/rate."""

    ticks: tuple[int, ...]
    time_base: Fraction
    rate: Fraction
    constant: bool

    @classmethod
    def at_rate(cls, fps: Fraction, frames: int) -> "Timing":
        """Constant rate."""
        return cls(tuple(range(frames)), 1 / fps, fps, True)

    @classmethod
    def from_gaps(cls, gaps: Sequence[int], fps: Fraction) -> "Timing":
        """Variable rate on the grid of `fps`: frame k+1 comes gaps[k] grid steps after frame k."""
        ticks = [0]
        for gap in gaps:
            ticks.append(ticks[-1] + gap)
        return cls(tuple(ticks), 1 / fps, fps, False)

    @property
    def times_us(self) -> tuple[int, ...]:
        """Frame times in microseconds, rounded half up."""
        return tuple(_us(tick * self.time_base) for tick in self.ticks)

    @property
    def duration_us(self) -> int:
        """End of the last frame in microseconds."""
        return _us(self.ticks[-1] * self.time_base + 1 / self.rate)

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """Frame times in seconds."""
        return np.array([float(tick * self.time_base) for tick in self.ticks])


def write_mp4(
    path: Path,
    frames: Iterable[npt.NDArray[np.uint8]],
    timing: Timing,
    *,
    size: tuple[int, int],
    browser_ready: bool,
) -> None:
    """Write RGB frames [height, width, 3] of `size` (width, height) at the given times.

    `browser_ready`: a key frame every 15 frames and the index first; otherwise one key frame and the index
    last, as many recorders write it.
    """
    muxing = {"fflags": "+bitexact"} | ({"movflags": "+faststart"} if browser_ready else {})
    with av.open(str(path), "w", format="mp4", options=muxing) as target:
        stream = target.add_stream("libx264", rate=timing.rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = timing.time_base
        stream.codec_context.time_base = timing.time_base
        stream.codec_context.gop_size = 15 if browser_ready else 250
        stream.options = {"preset": "ultrafast", "crf": "24", "threads": "1"}
        convert = VideoReformatter()  # one for all frames: setting one up takes longer than converting
        for tick, pixels in zip(timing.ticks, frames, strict=True):
            frame = convert.reformat(VideoFrame.from_ndarray(pixels, format="rgb24"), format="yuv420p")
            frame.pts, frame.time_base = tick, timing.time_base
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def _us(seconds: Fraction) -> int:
    doubled = 2 * seconds.numerator * 1_000_000
    return (doubled + seconds.denominator) // (2 * seconds.denominator)
