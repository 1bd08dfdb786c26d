"""How far spans and instants lie apart. Times are integer microseconds, errors are seconds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MICROSECONDS = 1_000_000


def overlap(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Temporal intersection over union of spans [n, 2] (start, end), 0 to 1.

    Two spans of no length overlap fully at the same instant and not at all elsewhere; a span of no length inside one
    that has a length shares nothing with it.
    """
    shared = np.minimum(first[:, 1], second[:, 1]) - np.maximum(first[:, 0], second[:, 0])
    shared = np.maximum(shared, 0).astype(np.float64)
    joined = (first[:, 1] - first[:, 0]) + (second[:, 1] - second[:, 0]) - shared
    same = (first == second).all(axis=1)
    return np.asarray(np.where(joined > 0, shared / np.where(joined > 0, joined, 1), same))


def overlap_distance(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """1 - overlap: a distance for Krippendorff's alpha over spans."""
    return np.asarray(1 - overlap(first, second))


def shift_seconds(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """Second minus first, in seconds: above 0 where the second is later. Of instants [n] or edges [n, k]."""
    return np.asarray((second - first) / MICROSECONDS)


def within(shift: Floats, *, tolerance: float) -> Floats:
    """1 where two instants lie at most `tolerance` seconds apart, else 0."""
    return (np.abs(shift) <= tolerance).astype(np.float64)
