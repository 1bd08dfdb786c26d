"""Krippendorff's alpha for unitising: do people mark the same stretches of a continuum, wherever these begin and end?

1 when they do, 0 when they agree as units of these lengths thrown anywhere would, below 0 when less. Units lie in one
or more continua (here: clips), each marked by the same people; one person's units do not overlap.

Source: Krippendorff, Content Analysis (2nd ed. 2004), section 11.6, which corrects De of his On the reliability of
unitizing continuous data, Sociological Methodology 25 (1995) 47-76. Do: two units that share time are as far apart as
the squares of the distances of their begins and of their ends, together; a unit that lies wholly in a gap of another
person's, as the square of its length. De: the same, of every unit against every unit and every gap, wherever they might
lie. His lengths are whole numbers of a smallest step; `step` 0 is the limit for time, which has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from annotations.statistics.alpha import coefficient

Floats = NDArray[np.float64]
Units = Sequence[tuple[float, float]]
"""Begins and ends of one person's units in one continuum, rising, not overlapping."""


@dataclass(frozen=True)
class Continuum:
    """What lies between 0 and `length`, as each person divided it."""

    length: float
    people: Sequence[Units]


def apart(first: Units, second: Units) -> float:
    """The sum over both persons' units of how far they lie from the other's, in squares of the unit of time."""
    together = 0.0
    for begin, end in first:
        for start, stop in second:
            if begin < stop and start < end:
                together += (begin - start) ** 2 + (end - stop) ** 2
    return together + _alone(first, second) + _alone(second, first)


def _alone(units: Units, others: Units) -> float:
    """The squares of the lengths of units that share no time with any of the others."""
    return sum(
        (end - begin) ** 2
        for begin, end in units
        if not any(begin < stop and start < end for start, stop in others)
    )


def gaps(units: Units, length: float) -> list[float]:
    """The lengths of what lies before, between and after the units; those of no length left out."""
    edges = [0.0, *(edge for unit in units for edge in unit), length]
    return [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop > start]


def alpha(continua: Sequence[Continuum], *, step: float = 0) -> float:
    """Alpha over all continua laid end to end. NaN where nobody marked anything, or all is one unit.

    Of several continua the end of each one is followed by the begin of another: see `loose`.

    ValueError where the continua were not all marked by the same number of people, two or more.
    """
    people = {len(one.people) for one in continua}
    if len(people) != 1 or (count := people.pop()) < 2:
        raise ValueError("each continuum needs the same two or more people")
    observed = sum(
        2 * apart(one.people[i], one.people[j])
        for one in continua
        for i in range(count)
        for j in range(i + 1, count)
    )
    divide = gaps if len(continua) == 1 else loose
    lengths = np.array([end - begin for one in continua for units in one.people for begin, end in units])
    between = np.array([gap for one in continua for units in one.people for gap in divide(units, one.length)])
    unmarked = (
        sum(one.length for one in continua for units in one.people if not units) if len(continua) > 1 else 0.0
    )
    found = of_lengths(
        np.array([observed]) / (count * (count - 1)), np.array([float(sum(one.length for one in continua))]), count,
        Lengths(lengths, np.zeros(len(lengths), dtype=np.intp)),
        Lengths(between, np.zeros(len(between), dtype=np.intp)), np.ones((1, 1)), np.array([float(unmarked)]),
        step=step,
    )  # fmt: skip
    return float(found[0])


def loose(units: Units, length: float) -> list[float]:
    """The gaps of one of many continua, laid end to end in no order that matters: what follows its last unit and what
    comes before its first are one gap, as if its neighbours were like it. None where there is no unit at all: such a
    continuum only makes a neighbour's gap longer.
    """
    if not units:
        return []
    inside = [start - stop for (_, stop), (start, _) in pairwise(units) if start > stop]
    around = length - units[-1][1] + units[0][0]
    return [*inside, around] if around > 0 else inside


@dataclass(frozen=True)
class Lengths:
    """Lengths [n] of units or of gaps, and the cluster [n] that each belongs to."""

    lengths: Floats
    cluster: NDArray[np.intp]


def of_lengths(
    observed: Floats,
    total: Floats,
    people: int,
    units: Lengths,
    between: Lengths,
    weights: Floats,
    unmarked: Floats,
    *,
    step: float = 0,
) -> Floats:
    """Alpha when clusters are taken `weights` [draws, clusters] times. `observed` [draws]: `apart`, meant over both
    orders of two people and summed over continua; `total` [draws]: the length of all continua; `unmarked` [draws]: of
    those that a person marked nothing in, over all persons.
    """
    order = np.argsort(between.lengths)
    held = between.lengths[order]
    many = weights[:, between.cluster[order]]
    beyond = np.searchsorted(held, units.lengths, side="left")
    # For every unit: how many gaps it would fit in, and how long they are together.
    count, room = (_from_the_end(part)[:, beyond] for part in (many, many * held))
    often, lengths = weights[:, units.cluster], units.lengths
    places = room + unmarked[:, None] - (lengths - step) * count
    in_gaps = (often * np.square(lengths) * places).sum(axis=1)
    cubes = 2 * lengths**3 - 3 * np.square(lengths) * step + lengths * step**2
    on_units = (often.sum(axis=1) - 1) * (often * cubes).sum(axis=1) / 3
    pairs = people * total * (people * total - step) - (often * lengths * (lengths - step)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = 2 / total * (on_units + in_gaps) / pairs
        return coefficient(observed / np.square(total), np.asarray(expected))


def _from_the_end(values: Floats) -> Floats:
    """Sums [draws, n + 1] of each place and all after it."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    sums[:, :-1] = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
    return sums
