"""Videos with fingerprints, without decoding anything."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from annotations.corpora.duplicates import METHOD
from annotations.corpora.duplicates.fingerprint import ClipPrint
from annotations.corpora.models import Fingerprint, RecordingOrigin, Video
from tests.factories import make_media, make_video

PICTURES = 16


def footage(number: int, *, start: int = 0, noise: float = 0.0) -> ClipPrint:
    """PICTURES pictures of a made-up scene from its picture `start` on; `noise`: share of hash bits flipped."""
    rng = np.random.default_rng(number)
    base = rng.random((1, 256)) < 0.5
    drift = rng.random((64, 256)) < 0.05
    greys = rng.integers(0, 255, (64, 16, 16), dtype=np.uint8)
    flips = np.random.default_rng(start).random((64, 256)) < noise
    bits = (base ^ drift ^ flips)[start : start + PICTURES]
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    return ClipPrint(250_000, hashes, greys[start : start + PICTURES], np.ones(PICTURES, np.bool_))


@pytest.fixture
def clip(db: None) -> Callable[..., Video]:
    """A video that shows footage `number`; keyword arguments are the video's fields."""

    def make(number: int, *, start: int = 0, noise: float = 0.0, **fields: Any) -> Video:
        fields = {"recording_origin": RecordingOrigin.NAME, **fields}
        video = make_video(media=make_media(seconds=4, fps=Fraction(10)), **fields)
        data = footage(number, start=start, noise=noise).encode()
        Fingerprint.objects.create(media=video.media, method=METHOD, data=data)
        return video

    return make
