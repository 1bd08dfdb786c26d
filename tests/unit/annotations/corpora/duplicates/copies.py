"""Small moving scenes as clips, and copies of them as people make them: cut, scaled, framed, recompressed."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from PIL import Image

Picture = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 160, 96


def scene(number: int, *, camera: int | None = None) -> Callable[[float], Picture]:
    """Picture [HEIGHT, WIDTH, 3] at a time in seconds: blocks that move before a background.

    `number` decides what moves, `camera` (the number unless given) what stands still.
    """
    still = np.random.default_rng(1000 + (number if camera is None else camera))
    places = Image.fromarray(still.integers(40, 200, (6, 10), dtype=np.uint8))
    background = np.asarray(places.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
    moving = np.random.default_rng(number)
    blocks = [
        (moving.uniform(0, WIDTH), moving.uniform(0, HEIGHT), moving.uniform(-30, 30), moving.uniform(-12, 12),
         int(moving.choice([5, 250])))
        for _ in range(4)
    ]  # fmt: skip

    def at(seconds: float) -> Picture:
        picture = background.copy()
        for x, y, dx, dy, level in blocks:
            left, top = int(x + dx * seconds) % WIDTH, int(y + dy * seconds) % HEIGHT
            picture[top : top + 22, left : left + 30] = level
        return np.stack([picture] * 3, axis=2)

    return at


def write(
    path: Path,
    at: Callable[[float], Picture],
    *,
    start_s: float = 0.0,
    end_s: float = 4.0,
    fps: int = 12,
    crf: int = 20,
    change: Callable[[Picture], Picture] = lambda picture: picture,
) -> Path:
    """What the scene shows from start_s to end_s, as an MP4."""
    first = change(at(start_s))
    with av.open(str(path), "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=Fraction(fps))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": str(crf), "threads": "1"}
        for index in range(int((end_s - start_s) * fps)):
            picture = np.ascontiguousarray(change(at(start_s + index / fps)))
            frame = VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            target.mux(stream.encode(frame.reformat(format="yuv420p")))
        target.mux(stream.encode(None))
    return path


def half_size(picture: Picture) -> Picture:
    return np.asarray(Image.fromarray(picture).resize((WIDTH // 2, HEIGHT // 2)))


def letterboxed(picture: Picture) -> Picture:
    return np.pad(picture, ((20, 20), (0, 0), (0, 0)))


def on_white(picture: Picture) -> Picture:
    return np.pad(picture, ((16, 18), (24, 26), (0, 0)), constant_values=255)


def brighter(picture: Picture) -> Picture:
    return np.clip(picture.astype(np.int16) + 30, 0, 255).astype(np.uint8)


def marked(picture: Picture) -> Picture:
    """With a logo in a corner."""
    copy = picture.copy()
    copy[-16:-6, 6:50] = 240
    return copy
