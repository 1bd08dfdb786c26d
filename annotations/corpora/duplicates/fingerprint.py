"""What a clip looks like over time, in a form that survives re-encoding, scaling and bars. No Django here.

Two things are kept of each picture (see sampling.py), both taken between the bars around it:
- a perceptual hash of 256 bits (ImageHash's `dhash`, hash_size 16: whether each of 16 x 16 places is brighter than
  its left neighbour), which tells scenes apart;
- its 16 x 16 grey levels, which tell what moves: two recordings of one fixed camera have nearly equal hashes all
  along, and only what moves in them differs.
"""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from annotations.corpora.duplicates.sampling import Pictures, sample, without_bars
from annotations.corpora.media.timemap import TimeMap

HASH_SIDE: Final = 16
BITS: Final = HASH_SIDE * HASH_SIDE
WORDS: Final = BITS // 64
GREY_SIDE: Final = 16

_MAGIC = b"CDF1"
_HEADER = struct.Struct("<4sIq")
_DAMAGED = "these bytes are not a fingerprint"
_PLAIN = 5.0

Hashes = npt.NDArray[np.uint64]
Greys = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ClipPrint:
    """A clip's fingerprint. Picture k is what the clip shows at k * step_us.

    hashes: uint64 [pictures, 4], 256 bits each. greys: uint8 [pictures, 16, 16].
    telling: bool [pictures], false for pictures too plain to recognise anything by (black, fog).
    """

    step_us: int
    hashes: Hashes
    greys: Greys
    telling: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hashes)

    def encode(self) -> bytes:
        """Compact bytes: a header, then the zlib-packed arrays."""
        body = self.hashes.astype("<u8").tobytes() + self.telling.tobytes() + self.greys.tobytes()
        return _HEADER.pack(_MAGIC, len(self), self.step_us) + zlib.compress(body, 6)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The fingerprint that `encode` wrote. ValueError when the bytes are anything else."""
        data = bytes(data)
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise ValueError(_DAMAGED)
        _, count, step_us = _HEADER.unpack_from(data)
        try:
            body = zlib.decompress(data[_HEADER.size :])
        except zlib.error as error:
            raise ValueError(_DAMAGED) from error
        ends = np.cumsum([WORDS * 8 * count, count, GREY_SIDE * GREY_SIDE * count])
        if count == 0 or step_us <= 0 or len(body) != ends[-1]:
            raise ValueError(_DAMAGED)
        return cls(
            step_us,
            np.frombuffer(body[: ends[0]], dtype="<u8").reshape(count, WORDS).astype(np.uint64),
            np.frombuffer(body[ends[1] :], dtype=np.uint8).reshape(count, GREY_SIDE, GREY_SIDE),
            np.frombuffer(body[ends[0] : ends[1]], dtype=np.bool_),
        )


def make_fingerprint(path: Path, time_map: TimeMap) -> bytes:
    """The encoded fingerprint of a clip, for the child process. MediaError as `sample` raises it."""
    return fingerprint(*sample(path, time_map)).encode()


def fingerprint(step_us: int, pictures: Pictures) -> ClipPrint:
    """From grey pictures uint8 [n, h, w] that lie step_us apart."""
    inside = without_bars(pictures)
    images = [Image.fromarray(np.ascontiguousarray(picture)) for picture in inside]
    bits = np.stack([imagehash.dhash(image, hash_size=HASH_SIDE).hash.ravel() for image in images])
    small = (GREY_SIDE, GREY_SIDE)
    greys = np.stack([np.asarray(image.resize(small, Image.Resampling.BOX)) for image in images])
    telling = inside.reshape(len(inside), -1).std(axis=1) >= _PLAIN
    return ClipPrint(step_us, pack(bits), greys, telling)


def pack(bits: npt.NDArray[np.bool_]) -> Hashes:
    """bool [n, 256] to uint64 [n, 4], first bit highest of the first byte."""
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)
