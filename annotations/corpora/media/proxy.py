"""Browser proxies and thumbnails.

A proxy is what a browser can step through frame by frame: constant rate, first frame at 0, H.264 yuv420p, a
key frame at least every 15 frames, no B-frames, index first, no sound, upright, square pixels, even sides.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import av
import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from annotations.corpora.media.decode import DecodeLog, decode_frames, open_video
from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.timemap import ProxyMap, TimeMap

KEY_FRAME_EVERY = 15
MAX_SIDE = 1920
"""Long side of a proxy at most, pixels; larger sources are scaled down."""
THUMBNAIL_WIDTH = 320
MAX_PROXY_FRAMES = 1_000_000
"""About 4.6 hours at 60 frames per second; more is refused rather than filling the disk."""


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


def needs_proxy(clip: Probe) -> bool:
    """Whether a browser could not step through the file itself exactly. ValueError for a probe without time
    map."""
    if clip.time_map is None:
        raise ValueError("a clip without a time map can have no proxy")
    browser_ready = (
        clip.usable
        and not clip.codes & {Code.CORRUPT, Code.TRUNCATED, Code.NO_TIMESTAMPS}
        and "mp4" in clip.container.split(",")
        and clip.codec == "h264"
        and clip.pix_fmt == "yuv420p"
        and not clip.variable_rate
        and clip.start_us == 0
        and clip.gop_max <= KEY_FRAME_EVERY
        and not clip.has_b_frames
        and clip.faststart
        and not clip.has_audio
        and clip.rotation == 0
        and clip.width % 2 == 0
        and clip.height % 2 == 0
        and max(clip.width, clip.height) <= MAX_SIDE
    )
    return not browser_ready


def proxy_size(width: int, height: int) -> tuple[int, int]:
    """Displayed source size to proxy size: at most MAX_SIDE, sides even and at least 2, aspect kept."""
    scale = min(1.0, MAX_SIDE / max(width, height))
    return max(2, round(width * scale) // 2 * 2), max(2, round(height * scale) // 2 * 2)


def make_proxy(
    path: Path, out: Path, time_map: TimeMap, *, declared_fps: Fraction | None = None
) -> ProxyInfo:
    """Write the proxy of `path` to `out`, by the rule of `ProxyMap.plan(time_map, declared=declared_fps)`.

    `time_map` comes from `probe` of the same file. The file appears under `out` only when it is complete.
    MediaError corrupt when the file decodes to other frames than the time map has, absurd_size when the
    proxy would have more than MAX_PROXY_FRAMES frames, and what `open_video` raises.
    """
    plan = ProxyMap.plan(time_map, declared=declared_fps)
    if plan.frame_count > MAX_PROXY_FRAMES:
        message = f"the proxy of {path.name} would have {plan.frame_count} frames"
        raise MediaError(
            Finding(Code.ABSURD_SIZE, Severity.ERROR, message, {"proxy_frames": plan.frame_count})
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{uuid4().hex}.mp4")
    try:
        size = _encode(path, unfinished, plan)
        os.replace(unfinished, out)
    finally:
        unfinished.unlink(missing_ok=True)
    return ProxyInfo(plan.fps, plan.frame_count, *size, plan.hidden_frames)


def make_thumbnail(
    path: Path, out: Path, time_map: TimeMap, *, width: int = THUMBNAIL_WIDTH
) -> tuple[int, int]:
    """Write the middle frame (whatever it shows) as a JPEG `width` pixels wide; returns its (width,
    height)."""
    wanted = len(time_map) // 2
    for index, picture in _upright_frames(path, len(time_map)):
        if index == wanted:
            image = Image.fromarray(picture.to_ndarray(format="rgb24"))
            height = max(1, round(image.height * width / image.width))
            image = image.resize((width, height), Image.Resampling.BOX)
            out.parent.mkdir(parents=True, exist_ok=True)
            unfinished = out.with_name(f".{out.name}.{uuid4().hex}")
            try:
                image.save(unfinished, format="JPEG", quality=82)
                os.replace(unfinished, out)
            finally:
                unfinished.unlink(missing_ok=True)
            return image.size
    raise AssertionError("the middle frame lies within the time map")


def _encode(path: Path, out: Path, plan: ProxyMap) -> tuple[int, int]:
    repeats = np.bincount(plan.source_frames, minlength=len(plan.source))
    size: tuple[int, int] | None = None
    written = 0
    with av.open(
        str(out), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}
    ) as target:
        stream = target.add_stream("libx264", rate=plan.fps)
        stream.codec_context.time_base = 1 / plan.fps
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23", "threads": "2"}
        stream.codec_context.gop_size = KEY_FRAME_EVERY
        stream.codec_context.max_b_frames = 0
        for index, picture in _upright_frames(path, len(plan.source)):
            if size is None:
                size = proxy_size(picture.width, picture.height)
                stream.width, stream.height = size
            if not repeats[index]:
                continue
            for _ in range(int(repeats[index])):
                shown = picture.reformat(*size, format="yuv420p", interpolation="AREA")
                if shown is picture:  # already in this form: stamp a copy's time, not the decoder's own frame
                    shown = VideoFrame.from_ndarray(picture.to_ndarray(), format="yuv420p")
                shown.pts = written
                shown.time_base = 1 / plan.fps
                shown.pict_type = 0
                target.mux(stream.encode(shown))
                written += 1
        target.mux(stream.encode(None))
    if size is None or written != plan.frame_count:
        raise AssertionError(f"{written} proxy frames written of {plan.frame_count}")
    return size


def _upright_frames(path: Path, expected: int) -> Iterator[tuple[int, VideoFrame]]:
    """(index, picture as displayed: rotation and pixel aspect applied) of every frame of `path`."""
    log = DecodeLog()
    with open_video(path) as (container, stream):
        aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
        for index, frame in enumerate(decode_frames(container, stream, log)):
            if index >= expected:
                raise _disagrees(path, index + 1, expected)
            picture = frame
            if aspect not in (0, 1):
                picture = picture.reformat(width=max(1, round(frame.width * aspect)), height=frame.height)
            if log.rotation:
                turned = np.rot90(picture.to_ndarray(format="rgb24"), log.rotation // 90)
                picture = VideoFrame.from_ndarray(np.ascontiguousarray(turned), format="rgb24")
            yield index, picture
    if log.frames != expected:
        raise _disagrees(path, log.frames, expected)


def _disagrees(path: Path, found: int, expected: int) -> MediaError:
    message = (
        f"{path.name} decodes to {found} frames, its time map has {expected}: the file changed or is damaged"
    )
    return MediaError(Finding(Code.CORRUPT, Severity.ERROR, message, {"frames": found, "expected": expected}))
