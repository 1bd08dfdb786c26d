"""Krippendorff's alpha: 1 when people agree, 0 when they agree as values drawn at random would, below 0 when less.

Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), and Content Analysis (4th ed. 2019), ch. 12.
alpha = 1 - Do / De. Do: the mean distance of the values of one unit; De: that of all pairable values, whichever
unit they belong to. Any distance serves that is 0 between equal values.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Distance = Callable[[NDArray[Any], NDArray[Any]], Floats]
"""Of two arrays of the same length, element by element."""

ALL_PAIRS: Final = 4_000_000


def nominal(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """0 for the same, 1 for different."""
    return np.asarray(first != second, dtype=np.float64)


def interval(first: NDArray[Any], second: NDArray[Any]) -> Floats:
    """The square of the difference."""
    return np.asarray(np.square(first.astype(np.float64) - second))


def coefficient(observed: Floats, expected: Floats) -> Floats:
    """1 - observed / expected, elementwise; NaN where the expected distance is 0: everybody said one thing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected > 0, 1 - observed / expected, np.nan))


def krippendorff(
    units: NDArray[Any],
    values: NDArray[Any],
    distance: Distance,
    *,
    most_pairs: int = ALL_PAIRS,
    seed: int = 0,
) -> float:
    """Alpha of `values` [n, ...], each given to the unit `units` [n] names. NaN where it is not defined.

    Units with a single value are left out, as they can be compared with nothing. Of more than `most_pairs` pairs of
    values, the expected distance is the mean over that many drawn at random.
    """
    _, unit, sizes = np.unique(units, return_inverse=True, return_counts=True)
    kept = sizes[unit] > 1
    order = np.argsort(unit[kept], kind="stable")
    unit, values = unit[kept][order], values[kept][order]
    count = len(unit)
    if count == 0:
        return float("nan")
    observed = 0.0
    for step in range(1, int(sizes.max())):
        together = np.flatnonzero(unit[step:] == unit[:-step])
        apart = distance(values[together], values[together + step])
        observed += 2 * float((apart / (sizes[unit[together]] - 1)).sum())
    first, second = pairs_at_random(count, most=most_pairs, seed=seed)
    expected = distance(values[first], values[second]).mean()
    return float(coefficient(np.array(observed / count), np.array(expected)))


def pairs_at_random(count: int, *, most: int, seed: int) -> tuple[Indices, Indices]:
    """Places of two different values among `count`: every pair once if these are at most `most`, else so many drawn."""
    if count * (count - 1) // 2 <= most:
        first, second = np.triu_indices(count, k=1)
        return first, second
    draw = np.random.default_rng(seed)
    first = draw.integers(0, count, size=most)
    second = (first + draw.integers(1, count, size=most)) % count
    return first.astype(np.intp), second.astype(np.intp)


def of_label_counts(differing: Floats, counts: Floats) -> Floats:
    """Alpha (nominal) of units with two values each. `differing` [...]: units whose two values differ;
    `counts` [..., labels]: how often each label was given, over both values of all units.
    """
    total = counts.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 1 - (counts * (counts - 1)).sum(axis=-1) / (total * (total - 1))
        return coefficient(2 * differing / total, np.asarray(expected))


def of_moments(units: Floats, squared_differences: Floats, total: Floats, squares: Floats) -> Floats:
    """Alpha (interval) of `units` units with two values each, from sums over units of the squared differences and over
    values of the values (`total`) and of their squares.
    """
    count = 2 * units
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 2 * (count * squares - np.square(total)) / (count * (count - 1))
        return coefficient(squared_differences / units, np.asarray(expected))
