"""The numbers of one cell of the report: some of the pairs, all kinds, with their intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annotations.quality.measures import Chance, Compared, Measure, Unitised
from annotations.statistics import alpha, bootstrap
from annotations.statistics.unitising import Lengths, of_lengths

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

FEWEST_COMPARED: Final = 10
FEWEST_RECORDINGS: Final = 20


class Standing(StrEnum):
    """Whether there is a number, and why not."""

    GIVEN = "given"
    TOO_FEW = "too_few"
    UNDEFINED = "undefined"


@dataclass(frozen=True)
class Result:
    """One number with its interval: `low`, `high` are None where fewer than FEWEST_RECORDINGS recordings take part.

    `count`: compared pairs; `recordings`: how many they come from. `value` is None unless `standing` is given.
    """

    name: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    count: int
    recordings: int
    standing: Standing


@dataclass(frozen=True)
class KindResult:
    """The numbers of one kind."""

    kind: str
    compared: int
    measures: list[Result]


@dataclass(frozen=True)
class _Part:
    """One kind's rows in a cell. `cluster` [rows]: which of the cell's recordings each pair is of."""

    compared: Compared
    rows: Indices
    cluster: Indices
    by_cluster: Floats
    measures: list[Measure]
    others: "list[_ChanceDraw | _UnitisedDraw]"

    @property
    def totals(self) -> Floats:
        return np.asarray(self.by_cluster.sum(axis=0))


@dataclass(frozen=True)
class _ChanceDraw:
    """Pairs of answers drawn from a cell. `first`, `second`: the recordings they are of; `apart`: their distance;
    `values` [clusters]: how many answers each recording has.
    """

    chance: Chance
    first: Indices
    second: Indices
    apart: Floats
    values: Floats
    name = "alpha"

    @property
    def count(self) -> int:
        return self.chance.count

    def alpha(self, sums: Floats, weights: Floats) -> Floats:
        """Alpha when the recordings are taken `weights` [draws, clusters] times. A copy of an answer is another answer
        that says the same: it belongs to the pairs, at distance 0.
        """
        both = weights[:, self.first] * weights[:, self.second]
        count = weights @ self.values
        with np.errstate(divide="ignore", invalid="ignore"):
            different = np.square(count) - np.square(weights) @ self.values
            expected = (both @ self.apart) / both.sum(axis=1) * different / (count * (count - 1))
            observed = sums[:, self.chance.observed] / sums[:, self.chance.count]
            return alpha.coefficient(observed, expected)


@dataclass(frozen=True)
class _UnitisedDraw:
    """The clips of a cell as continua. `by_cluster` [clusters, (apart, length, unmarked)]."""

    by_cluster: Floats
    units: Lengths
    gaps: Lengths
    name = "unitised_alpha"
    count = 0

    def alpha(self, sums: Floats, weights: Floats) -> Floats:
        """Alpha when the recordings are taken `weights` [draws, clusters] times."""
        apart, length, unmarked = (weights @ self.by_cluster).T
        return of_lengths(apart, length, 2, self.units, self.gaps, weights, unmarked)


def evaluate(
    found: Sequence[Compared],
    rows: Sequence[NDArray[np.bool_]],
    recordings: Indices,
    *,
    ordered: bool = False,
    by_chance: bool = False,
) -> list[KindResult]:
    """The numbers over chosen pairs. `rows`: for each kind, which of its compared pairs [n]; `recordings`: of every
    pair, a number. `ordered`: first and second person are the same two throughout; `by_chance`: also the alphas that
    take time.
    """
    chosen = [np.flatnonzero(mask) for mask in rows]
    held = [recordings[compared.pair[kept]] for compared, kept in zip(found, chosen, strict=True)]
    clusters = np.unique(np.concatenate(held)) if held else np.array([], dtype=np.intp)
    parts = [
        _part(compared, kept, np.searchsorted(clusters, of), len(clusters), ordered, by_chance)
        for compared, kept, of in zip(found, chosen, held, strict=True)
    ]
    draws = _draws(parts, len(clusters))
    return [
        KindResult(part.compared.kind, len(part.rows), _results(part, drawn))
        for part, drawn in zip(parts, draws, strict=True)
    ]


def _part(
    compared: Compared, rows: Indices, cluster: Indices, clusters: int, ordered: bool, by_chance: bool
) -> _Part:
    sums = compared.sums[rows]
    by_cluster = np.zeros((clusters, sums.shape[1]))
    np.add.at(by_cluster, cluster, sums)
    measures = [measure for measure in compared.measures if ordered or not measure.ordered]
    others: list[_ChanceDraw | _UnitisedDraw] = []
    drawn = _chance(compared.chance, rows, cluster, clusters) if by_chance and compared.chance else None
    if drawn is not None:
        others.append(drawn)
    if by_chance and compared.unitised is not None:
        others.append(_continua(compared.unitised, rows, cluster, clusters))
    return _Part(compared, rows, cluster, by_cluster, measures, others)


def _continua(found: Unitised, rows: Indices, cluster: Indices, clusters: int) -> _UnitisedDraw:
    """The clips of these rows."""
    by_cluster = np.zeros((clusters, 3))
    np.add.at(by_cluster, cluster, np.stack([found.apart, found.length, found.unmarked], axis=1)[rows])
    return _UnitisedDraw(by_cluster, *(_chosen(held, rows, cluster) for held in (found.units, found.gaps)))


def _chosen(held: Lengths, rows: Indices, cluster: Indices) -> Lengths:
    place = np.flatnonzero(np.isin(held.cluster, rows))
    return Lengths(held.lengths[place], cluster[np.searchsorted(rows, held.cluster[place])])


def _chance(chance: Chance, rows: Indices, cluster: Indices, clusters: int) -> _ChanceDraw | None:
    """Draw pairs among the answers that these rows hold."""
    place = np.flatnonzero(np.isin(chance.rows, rows))
    if len(place) < FEWEST_COMPARED:
        return None
    of = cluster[np.searchsorted(rows, chance.rows[place])]
    answers, of = np.concatenate([place, place + len(chance.rows)]), np.concatenate([of, of])
    first, second = alpha.pairs_at_random(len(answers), most=chance.most, seed=bootstrap.SEED)
    return _ChanceDraw(
        chance, of[first], of[second], chance.distance(answers[first], answers[second]),
        np.bincount(of, minlength=clusters).astype(np.float64),
    )  # fmt: skip


def _draws(parts: Sequence[_Part], clusters: int) -> list[list[Floats]]:
    """For each kind and measure, its estimates over the draws of the bootstrap."""
    found: list[list[list[Floats]]] = [[[] for _ in _numbers(part)] for part in parts]
    if clusters >= FEWEST_RECORDINGS:
        for weights in bootstrap.resamples(clusters):
            for part, into in zip(parts, found, strict=True):
                if len(part.rows) < FEWEST_COMPARED:
                    continue
                sums = weights @ part.by_cluster
                for estimates, measure in zip(into, part.measures, strict=False):
                    estimates.append(measure.value(sums))
                for estimates, other in zip(into[len(part.measures) :], part.others, strict=True):
                    estimates.append(other.alpha(sums, weights))
    return [
        [np.concatenate(blocks) if blocks else np.array([], dtype=np.float64) for blocks in of_part]
        for of_part in found
    ]


def _numbers(part: _Part) -> list[tuple[str, str, int, Any]]:
    """Name, unit, the column that counts, and the value over all of the cell."""
    totals = part.totals
    numbers: list[tuple[str, str, int, Any]] = [
        (measure.name, measure.unit, measure.count, measure.value(totals)) for measure in part.measures
    ]
    once = np.ones((1, len(part.by_cluster)))
    numbers += [
        (other.name, "coefficient", other.count, other.alpha(totals[None], once)[0])
        for other in part.others
        if len(part.rows)
    ]
    return numbers


def _results(part: _Part, drawn: Sequence[Floats]) -> list[Result]:
    results = []
    for (name, unit, column, value), estimates in zip(_numbers(part), drawn, strict=True):
        count = int(part.totals[column])
        recordings = int((part.by_cluster[:, column] > 0).sum())
        standing = Standing.GIVEN if np.isfinite(value) else Standing.UNDEFINED
        if count < FEWEST_COMPARED:
            standing = Standing.TOO_FEW
        given = standing == Standing.GIVEN
        ends = (
            bootstrap.interval(estimates, clusters=recordings)
            if given and recordings >= FEWEST_RECORDINGS
            else None
        )
        low, high = ends or (None, None)
        results.append(
            Result(name, unit, float(value) if given else None, low, high, count, recordings, standing)
        )
    return results
