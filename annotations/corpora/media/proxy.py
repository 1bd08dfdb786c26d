"""Browser proxies.

A proxy is what a browser can step through frame by frame: constant rate, first frame at 0, H.264 yuv420p, a
key frame at least every 15 frames, no B-frames, index first, upright, square pixels, even sides; its sound, if
there is any, is cut to the pictures.
"""

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.play import MAX_SIDE, play
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.sound import Sound
from annotations.corpora.media.timemap import MICROSECONDS, ProxyMap, TimeMap

KEY_FRAME_EVERY = 15
MAX_PROXY_FRAMES = 1_000_000
"""About 4.6 hours at 60 frames per second; more is refused rather than filling the disk."""
ENCODER = {"preset": "veryfast", "crf": "23", "threads": "2"}


@dataclass(frozen=True)
class ProxyInfo:
    """A proxy that was written. With the source's time map, `ProxyMap(source, fps, frame_count)` maps its
    frames."""

    fps: Fraction
    frame_count: int
    width: int
    height: int
    hidden_frames: int
    """Source frames that the proxy cannot show (a variable-rate source with frames under 1/60 s apart)."""
    sound_damage: str = ""
    """Why some of the sound is missing."""


def needs_proxy(clip: Probe) -> bool:
    """Whether a browser could not step through the file itself exactly. ValueError for a probe without time
    map."""
    if clip.time_map is None:
        raise ValueError("a clip without a time map can have no proxy")
    browser_ready = (
        clip.usable
        and not clip.codes & {Code.CORRUPT, Code.TRUNCATED, Code.NO_TIMESTAMPS, Code.TIME_JUMPS}
        and "mp4" in clip.container.split(",")
        and clip.codec == "h264"
        and clip.pix_fmt == "yuv420p"
        and not clip.variable_rate
        and clip.start_us == 0
        and not clip.trimmed
        and clip.gop_max <= KEY_FRAME_EVERY
        and not clip.has_b_frames
        and clip.faststart
        and (not clip.has_audio or _sound_fits(clip))
        and clip.rotation == 0
        and clip.width % 2 == 0
        and clip.height % 2 == 0
        and max(clip.width, clip.height) <= MAX_SIDE
    )
    return not browser_ready


def _sound_fits(clip: Probe) -> bool:
    return clip.audio_codec in {"aac", "mp3"} and 0 < clip.audio_end_us <= clip.duration_us


class ProxyWriter:
    """Takes the pictures of `path` and writes its proxy to `out`, by the rule of `ProxyMap.plan`.

    A context manager: the file appears under `out` when the block ends well, complete, and not otherwise.
    MediaError absurd_size when the proxy would have more than MAX_PROXY_FRAMES frames.
    """

    def __init__(
        self, path: Path, out: Path, times: TimeMap, *, declared_fps: Fraction | None = None
    ) -> None:
        self._plan = ProxyMap.plan(times, declared=declared_fps)
        if self._plan.frame_count > MAX_PROXY_FRAMES:
            message = f"the proxy of {path.name} would have {self._plan.frame_count} frames"
            data: dict[str, int | float | str] = {"proxy_frames": self._plan.frame_count}
            raise MediaError(Finding(Code.ABSURD_SIZE, Severity.ERROR, message, data))
        self._repeats: list[int] = np.bincount(self._plan.source_frames, minlength=len(times)).tolist()
        self._out = out
        self._unfinished = out.with_name(f".{out.name}.{uuid4().hex}.mp4")
        seconds = self._plan.frame_count / self._plan.fps
        self._sound = Sound(path, start=Fraction(times.start_us, MICROSECONDS), seconds=seconds)
        self._stream: VideoStream | None = None
        self._written = 0

    def __enter__(self) -> Self:
        self._out.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self._sound.__enter__()
        self._target = av.open(str(self._unfinished), "w", format="mp4", options=options)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self._stream is None or self._written != self._plan.frame_count:
                    raise AssertionError(f"{self._written} proxy frames written of {self._plan.frame_count}")
                self._target.mux(self._stream.encode(None))
                self._target.mux(self._sound.rest())
            self._target.close()
            if kind is None:
                os.replace(self._unfinished, self._out)
        finally:
            self._sound.__exit__(kind, error, trace)
            self._unfinished.unlink(missing_ok=True)

    def wants(self, frame: int) -> bool:
        return self._repeats[frame] > 0

    def take(self, frame: int, picture: VideoFrame) -> None:
        stream = self._stream = self._stream or self._add_stream(picture)
        picture.time_base = 1 / self._plan.fps
        picture.pict_type = 0
        for _ in range(self._repeats[frame]):
            picture.pts = self._written
            self._target.mux(stream.encode(picture))
            self._written += 1
        self._target.mux(self._sound.until(self._written / self._plan.fps))

    @property
    def info(self) -> ProxyInfo:
        """What was written, once a picture was taken."""
        if self._stream is None:
            raise AssertionError("no picture was taken")
        size = self._stream.codec_context.width, self._stream.codec_context.height
        plan = self._plan
        return ProxyInfo(plan.fps, plan.frame_count, *size, plan.hidden_frames, self._sound.damage)

    def _add_stream(self, picture: VideoFrame) -> VideoStream:
        stream = self._target.add_stream("libx264", rate=self._plan.fps)
        context = stream.codec_context
        context.time_base = 1 / self._plan.fps
        context.pix_fmt = "yuv420p"
        context.width, context.height = picture.width, picture.height
        context.color_range, context.colorspace = picture.color_range, picture.colorspace
        context.color_primaries, context.color_trc = picture.color_primaries, picture.color_trc
        context.options = dict(ENCODER)
        context.gop_size = KEY_FRAME_EVERY
        context.max_b_frames = 0
        if self._sound.heard:
            self._sound.add_stream(self._target)
        return stream


def make_proxy(
    path: Path, out: Path, time_map: TimeMap, *, declared_fps: Fraction | None = None
) -> ProxyInfo:
    """Write the proxy of `path` to `out`, by the rule of `ProxyMap.plan(time_map, declared=declared_fps)`.

    `time_map` comes from `probe` of the same file. The file appears under `out` only when it is complete.
    MediaError corrupt when the file decodes to other frames than the time map has, absurd_size when the
    proxy would have more than MAX_PROXY_FRAMES frames, and what `open_video` raises.
    """
    with ProxyWriter(path, out, time_map, declared_fps=declared_fps) as writer:
        play(path, time_map, [writer])
    return writer.info
