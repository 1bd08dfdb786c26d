"""What is compared of two answers of one kind, as columns that add up over pairs, and the numbers made from their sums.

A pair is one case that two people answered. Everything here is an array over pairs; nothing knows of the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annotations.statistics import alpha, texts, times
from annotations.statistics.kappa import cohen
from annotations.statistics.unitising import Lengths

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

ONSET_TOLERANCE_SECONDS: Final = 0.5
SPAN_CHANCE_PAIRS: Final = 10_000
TEXT_CHANCE_PAIRS: Final = 4_000
_NO_SPAN: Final = -1


@dataclass(frozen=True)
class Measure:
    """One number. `count`: the column that says of how many pairs; `value`: from sums [..., columns] to [...].

    `ordered`: it tells the first person from the second, so it is only made where these are the same two throughout.
    """

    name: str
    unit: str
    count: int
    value: Callable[[Floats], Floats]
    ordered: bool = False


@dataclass(frozen=True)
class Chance:
    """For alpha over answers that do not add up: pairs of answers, whoever gave them to whichever case.

    `answers` [2 n]: first all first answers, then all second; `rows` [n]: the compared pair each comes from;
    `distance(first, second)`: of answers at those places. `observed`: the column with the summed distance of the pairs.
    """

    rows: Indices
    distance: Callable[[Indices, Indices], Floats]
    observed: int
    count: int
    most: int


@dataclass(frozen=True)
class Unitised:
    """For alpha over marked stretches (annotations.statistics.unitising), in seconds. `apart`, `length` and `unmarked`
    [n]: of each compared pair; `units`, `gaps`: lengths, and the compared pair that each is of.
    """

    apart: Floats
    length: Floats
    unmarked: Floats
    units: Lengths
    gaps: Lengths


@dataclass(frozen=True)
class Compared:
    """All pairs that can be compared in one kind. `pair` [n]: which pairs; `sums` [n, columns]: what adds up;
    `apart` [n]: how far the two lie apart, 0 to 1, to rank cases by.
    """

    kind: str
    pair: Indices
    sums: Floats
    apart: Floats
    measures: Sequence[Measure] = field(default_factory=tuple)
    chance: Chance | None = None
    unitised: Unitised | None = None


def _share(part: int, whole: int) -> Callable[[Floats], Floats]:
    def value(sums: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(sums[..., part] / sums[..., whole])

    return value


def _columns(*columns: NDArray[Any]) -> Floats:
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def labels(kind: str, pair: Indices, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Compared:
    """Yes (True) or no of two people."""
    both_yes, both_no = first & second, ~first & ~second
    only_first, only_second = first & ~second, ~first & second
    same = first == second

    def nominal_alpha(sums: Floats) -> Floats:
        yes, no, one, other = (sums[..., column] for column in (2, 3, 4, 5))
        counts = np.stack([2 * yes + one + other, 2 * no + one + other], axis=-1)
        return alpha.of_label_counts(one + other, counts)

    def kappa(sums: Floats) -> Floats:
        table = np.stack([sums[..., [2, 4]], sums[..., [5, 3]]], axis=-2)
        return cohen(table)

    return Compared(
        kind, pair, _columns(np.ones(len(pair)), same, both_yes, both_no, only_first, only_second),
        (~same).astype(np.float64),
        (
            Measure("same", "share", 0, _share(1, 0)),
            Measure("alpha", "coefficient", 0, nominal_alpha),
            Measure("kappa", "coefficient", 0, kappa, ordered=True),
        ),
    )  # fmt: skip


def spans(
    kind: str,
    pair: Indices,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    durations_us: NDArray[np.int64] | None = None,
) -> Compared:
    """Spans [n, 2] in microseconds of two people; -1, -1 where somebody says that there is none. `durations_us` [n]: of
    the clips, 0 where unknown; without them there is no alpha for unitising.
    """
    there = (first[:, 0] != _NO_SPAN) & (second[:, 0] != _NO_SPAN)
    same = (first[:, 0] != _NO_SPAN) == (second[:, 0] != _NO_SPAN)
    tiou = np.where(there, times.overlap(first, second), 0.0)
    shift = np.where(there[:, None], times.shift_seconds(first, second), 0.0)
    rows = np.flatnonzero(there)
    marked = np.concatenate([first[there], second[there]])
    return Compared(
        kind, pair,
        _columns(
            np.ones(len(pair)), same, there, tiou, np.abs(shift[:, 0]), np.abs(shift[:, 1]), shift[:, 0],
            shift[:, 1], there * (1 - tiou),
        ),
        np.where(there, 1 - tiou, np.where(same, 0.0, 1.0)),
        (
            Measure("presence_same", "share", 0, _share(1, 0)),
            Measure("tiou", "share", 2, _share(3, 2)),
            Measure("start_error", "seconds", 2, _share(4, 2)),
            Measure("end_error", "seconds", 2, _share(5, 2)),
            Measure("start_shift", "seconds", 2, _share(6, 2), ordered=True),
            Measure("end_shift", "seconds", 2, _share(7, 2), ordered=True),
        ),
        Chance(
            rows=rows, observed=8, count=2, most=SPAN_CHANCE_PAIRS,
            distance=lambda one, other: times.overlap_distance(marked[one], marked[other]),
        ),
        None if durations_us is None else _unitised(first, second, durations_us),
    )  # fmt: skip


def _unitised(
    first: NDArray[np.int64], second: NDArray[np.int64], durations_us: NDArray[np.int64]
) -> Unitised:
    """Each clip as a continuum with at most one unit of either person; at least as long as its spans reach."""
    both = np.stack([first, second]) / times.MICROSECONDS
    there = np.stack([first[:, 0], second[:, 0]]) != _NO_SPAN
    length = np.maximum(durations_us / times.MICROSECONDS, both[..., 1].max(axis=0))
    held = np.where(there, both[..., 1] - both[..., 0], 0.0)
    begins, ends = both[..., 0], both[..., 1]
    share = there.all(axis=0) & (begins.max(axis=0) < ends.min(axis=0))
    apart = np.where(share, np.square(both[0] - both[1]).sum(axis=1), np.square(held).sum(axis=0))
    rows = np.broadcast_to(np.arange(len(length)), there.shape)
    around = np.where(there, length - held, 0.0)
    return Unitised(
        apart, length, (~there * length).sum(axis=0), Lengths(held[there], rows[there]),
        Lengths(around[around > 0], rows[around > 0]),
    )  # fmt: skip


def instants(kind: str, pair: Indices, first: NDArray[np.int64], second: NDArray[np.int64]) -> Compared:
    """Instants [n] in microseconds of two people; -1 where somebody says that there is none."""
    there = (first != _NO_SPAN) & (second != _NO_SPAN)
    same = (first != _NO_SPAN) == (second != _NO_SPAN)
    shift = np.where(there, times.shift_seconds(first, second), 0.0)
    middle = (
        float(np.median(first[there])) if there.any() else 0.0
    )  # near the values, so that squares stay small
    one, other = (np.where(there, (at - middle) / times.MICROSECONDS, 0.0) for at in (first, second))
    errors = np.abs(shift)

    def interval_alpha(sums: Floats) -> Floats:
        return alpha.of_moments(*(sums[..., column] for column in (2, 6, 7, 8)))

    return Compared(
        kind, pair,
        _columns(
            np.ones(len(pair)), same, there, errors, there * times.within(shift, tolerance=ONSET_TOLERANCE_SECONDS),
            shift, np.square(shift), one + other, np.square(one) + np.square(other),
        ),
        np.where(there, errors / (errors + ONSET_TOLERANCE_SECONDS), np.where(same, 0.0, 1.0)),
        (
            Measure("presence_same", "share", 0, _share(1, 0)),
            Measure("error", "seconds", 2, _share(3, 2)),
            Measure("within", "share", 2, _share(4, 2)),
            Measure("alpha", "coefficient", 2, interval_alpha),
            Measure("shift", "seconds", 2, _share(5, 2), ordered=True),
        ),
    )  # fmt: skip


def sentences(kind: str, pair: Indices, first: Sequence[str], second: Sequence[str]) -> Compared:
    """What two people wrote."""
    said = [texts.words_of(text) for text in (*first, *second)]
    count = len(first)
    between = list(zip(said[:count], said[count:], strict=True))
    same = np.array([one == other for one, other in between], dtype=np.float64)
    edits = np.array([texts.normalised_edit_distance(one, other) for one, other in between], dtype=np.float64)
    f1 = np.array([texts.token_f1(one, other) for one, other in between], dtype=np.float64)

    def distance(ones: Indices, others: Indices) -> Floats:
        return np.array(
            [1 - texts.token_f1(said[one], said[other]) for one, other in zip(ones, others, strict=True)],
            dtype=np.float64,
        )

    return Compared(
        kind, pair, _columns(np.ones(count), same, edits, f1, 1 - f1), 1 - f1,
        (
            Measure("same", "share", 0, _share(1, 0)),
            Measure("edit_distance", "share", 0, _share(2, 0)),
            Measure("token_f1", "share", 0, _share(3, 0)),
        ),
        Chance(rows=np.arange(count), distance=distance, observed=4, count=0, most=TEXT_CHANCE_PAIRS),
    )  # fmt: skip
