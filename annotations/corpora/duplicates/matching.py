"""Whether two fingerprints show the same footage, and at which shift in time. No Django here."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from annotations.corpora.duplicates.fingerprint import BITS, ClipPrint, Hashes

MIN_OVERLAP_US: Final = 3_000_000
"""Two clips are compared where both run at least that long (or 3/4 of the shorter clip, if that is less)."""
STILL: Final = 1.0
"""Grey levels (root mean square): less change than this is noise, not motion."""
MAX_DISTANCE: Final = 0.30
MIN_MOTION: Final = 0.75
MAX_STILL_DISTANCE: Final = 0.12
"""Chosen by the measurement in docs/duplicates.md (benchmarks/duplicates.py), see `Alignment.same_footage`."""
_REFINED: Final = 5
_BETWEEN: Final = (0.25, 0.5)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Alignment:
    """How two clips lie on each other where they look most alike.

    shift_us: what the first clip shows at t, the second shows at t - shift_us. overlap_us: how long both run
    there. distance: mean share of hash bits that differ, 0 .. 1. motion: correlation of what moves, -1 .. 1;
    None where nothing moves in either.
    """

    shift_us: int
    overlap_us: int
    distance: float
    motion: float | None

    @property
    def same_footage(self) -> bool:
        """Alike in hashes, and what moves moves alike. Where nothing moves the hashes must agree much closer."""
        if self.motion is None:
            return self.distance <= MAX_STILL_DISTANCE
        return self.distance <= MAX_DISTANCE and self.motion >= MIN_MOTION

    @property
    def strength(self) -> float:
        """For choosing between matches, 0 .. 1: higher is surer."""
        return (1.0 - self.distance) * (0.5 if self.motion is None else (1.0 + self.motion) / 2)


def distances(first: Hashes, second: Hashes) -> npt.NDArray[np.int64]:
    """Differing bits of every pair, [n, m], of uint64 [n, words] and [m, words]."""
    bits: npt.NDArray[np.int64] = np.bitwise_count(first[:, None, :] ^ second[None, :, :]).sum(
        axis=2, dtype=np.int64
    )
    return bits


def align(first: ClipPrint, second: ClipPrint) -> Alignment | None:
    """The shift at which the clips look most alike in hashes and motion together.

    None when they cannot be compared: too little that both show, or pictures too plain. Cost: O(n * m) for n and m
    pictures.
    """
    step = max(first.step_us, second.step_us)
    one, other = _thinned(first, step), _thinned(second, step)
    n, m = len(one), len(other)
    least = max(1, min(-(-MIN_OVERLAP_US // step), -(-3 * min(n, m) // 4)))
    shifts = np.arange(-(m - least), n - least + 1)
    if not len(shifts):
        return None
    usable = one.telling[:, None] & other.telling[None, :]
    differing = _diagonals(np.where(usable, distances(one.hashes, other.hashes), 0), shifts)
    counted = _diagonals(usable, shifts)
    distance = np.where(counted >= least, differing / (np.maximum(counted, 1) * BITS), 1.0)
    motion = _motion(one, other, shifts)
    ranked = np.argsort(distance - 0.5 * motion, kind="stable")[:_REFINED]
    best: tuple[float, Alignment] | None = None
    for place in ranked.tolist():
        if counted[place] < least:
            continue
        shift = int(shifts[place])
        moves = _refined(one, other, shift)
        overlap = min(n, m + shift) - max(0, shift)
        found = Alignment(shift * step, overlap * step, float(distance[place]), moves)
        score = found.distance - 0.5 * (moves or 0.0)
        if best is None or score < best[0]:
            best = score, found
    return best[1] if best else None


def _thinned(clip: ClipPrint, step_us: int) -> ClipPrint:
    """Every so many pictures of it, so that they lie step_us apart."""
    every = step_us // clip.step_us
    if every == 1:
        return clip
    return ClipPrint(step_us, clip.hashes[::every], clip.greys[::every], clip.telling[::every])


def _diagonals(table: npt.NDArray[np.generic], shifts: npt.NDArray[np.int64]) -> Floats:
    """Sum of table[i, i - shift] over i, for each shift."""
    n, m = table.shape
    skewed = np.zeros((n, n + m), dtype=np.float64)
    skewed[:, :m] = table[::-1]
    sums = skewed.ravel()[: n * (n + m - 1)].reshape(n, n + m - 1).sum(axis=0)
    along: Floats = sums[n - 1 - shifts]
    return along


def _motion(one: ClipPrint, other: ClipPrint, shifts: npt.NDArray[np.int64]) -> Floats:
    """Correlation of what moves at every shift, with each clip's median picture as its background."""
    a, b = _moving(one.greys), _moving(other.greys)
    together = _diagonals(a @ b.T, shifts)
    energy_a, energy_b = (np.concatenate([[0.0], np.cumsum((x**2).sum(axis=1))]) for x in (a, b))
    start, end = np.maximum(0, shifts), np.minimum(len(one), len(other) + shifts)
    in_a = energy_a[end] - energy_a[start]
    in_b = energy_b[end - shifts] - energy_b[start - shifts]
    correlation: Floats = together / np.sqrt(np.maximum(in_a * in_b, 1e-9))
    return correlation


def _moving(greys: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    flat = greys.reshape(len(greys), -1).astype(np.float32)
    moving: npt.NDArray[np.float32] = flat - np.median(flat, axis=0)
    return moving


def _refined(one: ClipPrint, other: ClipPrint, shift: int) -> float | None:
    """Correlation of what moves at one shift, with the background taken from what both show there.

    The pictures of two copies are taken up to half a step apart, so in-between shifts are tried too, on pictures
    blended from two neighbours.
    """
    start, end = max(0, shift), min(len(one), len(other) + shift)
    a, b = _moving(one.greys[start:end]), _moving(other.greys[start - shift : end - shift])
    if np.sqrt((a**2).mean()) < STILL and np.sqrt((b**2).mean()) < STILL:
        return None
    best = _correlation(a, b)
    for part in _BETWEEN:
        for fixed, blended in ((a, b), (b, a)):
            between = (1 - part) * blended[:-1] + part * blended[1:]
            best = max(best, _correlation(fixed[:-1], between), _correlation(fixed[1:], between))
    return best


def _correlation(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    size = float(np.sqrt((a**2).sum(dtype=np.float64) * (b**2).sum(dtype=np.float64)))
    return float((a * b).sum(dtype=np.float64)) / size if size else 0.0
