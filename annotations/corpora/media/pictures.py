"""Small pictures of a clip: its thumbnail, and its storyboard (one sprite of pictures at regular steps)."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from annotations.corpora.media.timemap import ProxyMap, TimeMap

THUMBNAIL_BOX = (320, 1280)
TILE_BOX = (160, 240)
"""Width and height that a storyboard's picture fits into: a sprite is at most 1600 x 1440 pixels."""
MAX_TILES = 60
COLUMNS = 10
SHORTEST_STEP_US = 250_000


def storyboard_frames(times: TimeMap) -> list[int]:
    """The frames on screen at 0, 1, 2 … steps, each once; a step is 1/4 s, or 1/60 of a clip over 15 s."""
    step = max(SHORTEST_STEP_US, -(-times.duration_us // MAX_TILES))
    return sorted({times.frame_at(moment) for moment in range(0, times.duration_us, step)})


@dataclass(frozen=True)
class Board:
    """How a sprite is laid out: picture k is in column k % columns, row k // columns, and shows the frame that is
    presented at source time `times_us[k]`. Sizes in pixels."""

    columns: int
    rows: int
    tile_width: int
    tile_height: int
    times_us: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form."""
        return {
            "columns": self.columns,
            "rows": self.rows,
            "tile_width": self.tile_width,
            "tile_height": self.tile_height,
            "times_us": list(self.times_us),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The board that `as_dict` told of. KeyError or TypeError for anything else."""
        columns, rows = int(data["columns"]), int(data["rows"])
        size = int(data["tile_width"]), int(data["tile_height"])
        return cls(columns, rows, *size, times_us=tuple(int(time) for time in data["times_us"]))

    def place(self, index: int) -> tuple[int, int]:
        """Left and top of picture `index` in the sprite."""
        return index % self.columns * self.tile_width, index // self.columns * self.tile_height

    def webvtt(self, proxy: ProxyMap, url: str) -> str:
        """Cues for a player of the proxy: from when to when it shows which part of the sprite at `url`.

        Cue times are on the proxy's clock, which is what players seek by: a picture's cue begins with the first
        proxy frame that shows the picture's source frame, and lasts until the next begins (the first from 0, the
        last to the proxy's end). WebVTT (W3C) holds milliseconds; a region is a media fragment, #xywh=x,y,w,h.
        """
        starts = [_ms(proxy.proxy_time_us(proxy.proxy_frame(time))) for time in self.times_us]
        ends = [*starts[1:], _ms(proxy.proxy_time_us(proxy.frame_count))]
        lines = ["WEBVTT", ""]
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if end > start:
                left, top = self.place(index)
                lines.append(f"{_clock(start)} --> {_clock(end)}")
                lines += [f"{url}#xywh={left},{top},{self.tile_width},{self.tile_height}", ""]
        return "\n".join(lines)


class Thumbnail:
    """Takes the middle frame, whatever it shows, and saves it as a JPEG 320 pixels wide."""

    def __init__(self, times: TimeMap, out: Path) -> None:
        self._wanted, self._out = len(times) // 2, out

    def wants(self, frame: int) -> bool:
        return frame == self._wanted

    def take(self, frame: int, picture: VideoFrame) -> None:
        size = fit(picture.width, picture.height, THUMBNAIL_BOX)
        _save(_small(VideoReformatter(), picture, size), self._out)


class Storyboard:
    """Takes the frames of `storyboard_frames`; `save` writes the sprite."""

    def __init__(self, times: TimeMap) -> None:
        self._times = times
        self._frames = storyboard_frames(times)
        self._wanted = frozenset(self._frames)
        self._tiles: list[np.ndarray[Any, np.dtype[np.uint8]]] = []
        self._scaler = VideoReformatter()

    def wants(self, frame: int) -> bool:
        return frame in self._wanted

    def take(self, frame: int, picture: VideoFrame) -> None:
        size = fit(picture.width, picture.height, TILE_BOX)
        self._tiles.append(_small(self._scaler, picture, size))

    def save(self, out: Path) -> Board:
        """Write the sprite as a JPEG. ValueError unless every wanted frame was taken."""
        if len(self._tiles) != len(self._frames):
            raise ValueError(f"{len(self._tiles)} pictures were taken of {len(self._frames)}")
        height, width = self._tiles[0].shape[:2]
        columns = min(COLUMNS, len(self._tiles))
        rows = -(-len(self._tiles) // columns)
        times = tuple(self._times.time_of(frame) for frame in self._frames)
        board = Board(columns, rows, width, height, times)
        sprite = np.zeros((rows * height, columns * width, 3), dtype=np.uint8)
        for index, tile in enumerate(self._tiles):
            left, top = board.place(index)
            sprite[top : top + height, left : left + width] = tile
        _save(sprite, out)
        return board


def fit(width: int, height: int, box: tuple[int, int]) -> tuple[int, int]:
    """The size with the aspect of `width` x `height` that fills the box's width, or its height if that is less."""
    scale = min(box[0] / width, box[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _small(
    scaler: VideoReformatter, picture: VideoFrame, size: tuple[int, int]
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    shown = scaler.reformat(picture, *size, "rgb24", interpolation="AREA", threads=1)
    return np.asarray(shown.to_ndarray(), dtype=np.uint8)


def _save(pixels: np.ndarray[Any, np.dtype[np.uint8]], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{uuid4().hex}")
    try:
        Image.fromarray(pixels).save(unfinished, format="JPEG", quality=82)
        os.replace(unfinished, out)
    finally:
        unfinished.unlink(missing_ok=True)


def _ms(us: int) -> int:
    return (us + 500) // 1000


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"
