"""Decoded frames to RGB arrays, upright and at the model's size."""

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from model_assist.crashchat.errors import UndecodableError
from model_assist.crashchat.sizing import target_size

DecodeMode = Literal["exact", "fast"]
Pixels = npt.NDArray[np.uint8]
Allocate = Callable[[tuple[int, ...]], Pixels]

TURNS: Final = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
FAST_FILTER: Final = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT
"""Of swscale's filters the closest to PIL's; without the flag colours have half the output's width."""


class Sheet:
    """The output array uint8 [T, H, W, 3], laid out when the first frame's size is known."""

    def __init__(self, count: int, max_tokens: int | None, allocate: Allocate) -> None:
        self.count, self.max_tokens, self._allocate = count, max_tokens, allocate
        self.width = self.height = 0
        self.pixels: Pixels | None = None

    def accept(self, width: int, height: int) -> None:
        """Lay out for upright pictures of this size.  Raises UndecodableError when later ones differ."""
        if self.pixels is None:
            self.width, self.height = width, height
            self.pixels = self._allocate((self.count, *self.size(width, height), 3))
        elif self.pixels.shape[1:3] != self.size(width, height):
            raise UndecodableError("the picture size changes within the clip")

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Rows and columns in the output of a picture of this size."""
        if self.max_tokens is None:
            return height, width
        return target_size(height, width, self.count, max_tokens=self.max_tokens)


def turns_of(frame: Any) -> int:
    """Quarter turns counter-clockwise that the container asks for."""
    return int(frame.rotation or 0) // 90 % 4


def upright_size(frame: Any) -> tuple[int, int]:
    """Width and height of a decoded frame once it is turned upright."""
    return (frame.height, frame.width) if turns_of(frame) % 2 else (frame.width, frame.height)


class Fitter:
    """Brings frames to `rows` x `columns`.  Keeps a converter: one fitter per thread."""

    def __init__(self, decode: DecodeMode) -> None:
        self._convert = VideoReformatter()
        self._decode = decode

    def fit(self, frame: Any, out: Pixels) -> None:
        """Write a decoded frame into `out`, uint8 [rows, columns, 3]."""
        if self._decode == "exact":
            self._exact(frame, out)
        else:
            self._fast(frame, out)

    def _exact(self, frame: Any, out: Pixels) -> None:
        """RGB at full size, then PIL's bicubic filter: the published preprocessing bit for bit."""
        rgb = self._convert.reformat(frame, format="rgb24", threads=1)
        plane: Any = rgb.planes[0]
        size = (rgb.width, rgb.height)
        picture = Image.frombuffer("RGB", size, plane, "raw", "RGB", plane.line_size, 1)
        fit_picture(picture, out, turns_of(frame))

    def _fast(self, frame: Any, out: Pixels) -> None:
        """Scaled and converted to RGB in one step by swscale."""
        turns = turns_of(frame)
        rows, columns = out.shape[:2] if turns % 2 == 0 else out.shape[1::-1]
        small = self._convert.reformat(frame, columns, rows, "rgb24", interpolation=FAST_FILTER, threads=1)
        out[:] = np.rot90(small.to_ndarray(), turns)


def fit_picture(picture: Image.Image, out: Pixels, turns: int = 0) -> None:
    """Write an RGB picture into `out`, resized with PIL's bicubic filter where the sizes differ."""
    if turns:
        picture = picture.transpose(TURNS[turns])
    columns, rows = out.shape[1], out.shape[0]
    if picture.size != (columns, rows):
        picture = picture.resize((columns, rows), Image.Resampling.BICUBIC)
    out[:] = np.asarray(picture)
