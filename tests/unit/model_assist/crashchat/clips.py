"""Small clips made on the spot, whose every frame shows its own number."""

import os
import time
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

import av
import numpy as np

BITS = 8
CELL = 16


def numbered_frame(number: int, width: int = 160, height: int = 96) -> np.ndarray:
    """A grey picture whose top row of squares spells `number` in binary, most significant bit first."""
    picture = np.full((height, width, 3), 90, np.uint8)
    for bit in range(BITS):
        if number >> (BITS - 1 - bit) & 1:
            picture[:CELL, bit * CELL : (bit + 1) * CELL] = 230
        else:
            picture[:CELL, bit * CELL : (bit + 1) * CELL] = 20
    picture[40:60, (number * 3) % (width - 20) : (number * 3) % (width - 20) + 20] = (220, 40, 40)
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that a decoded `numbered_frame` shows."""
    cells = [picture[4 : CELL - 4, b * CELL + 4 : (b + 1) * CELL - 4].mean() > 128 for b in range(BITS)]
    return sum(1 << (BITS - 1 - i) for i, lit in enumerate(cells) if lit)


def write_clip(
    path: Path,
    times_ms: list[int],
    *,
    codec: str = "libx264",
    b_frames: int = 0,
    rotation: int = 0,
    rate: int = 25,
    options: dict[str, str] | None = None,
) -> Path:
    """Write one numbered frame per presentation time (milliseconds); the numbers count from 0."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"bf": str(b_frames), "g": "10", "preset": "ultrafast", "crf": "18"}
        if rotation:
            stream.set_display_rotation(rotation)
        for number, at in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def steady_clip(path: Path, *, frames: int = 50, rate: int = 25, b_frames: int = 0) -> Path:
    """A constant-rate H.264 clip of numbered frames."""
    return write_clip(path, [i * 1000 // rate for i in range(frames)], rate=rate, b_frames=b_frames)


def hang(path: str, address: str | None, **options: object) -> None:
    """A read that never comes back (run in the reading child)."""
    time.sleep(600)


def hang_and_say(path: str, address: str | None, **options: object) -> None:
    """The same, after writing the child's process id to the path."""
    Path(path).write_text(f"{os.getpid()}\n")
    time.sleep(600)


def die(path: str, address: str | None, **options: object) -> NoReturn:
    """A read that takes the child down."""
    os._exit(3)
