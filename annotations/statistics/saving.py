"""How much time something saves: 1 - the ratio of two mean times, each person compared with themselves.

Cases are put in one of two arms by chance. The times of person p have the mean a_p in the control arm and a_p * ratio
in the other; the one ratio is found by quasi-Poisson maximum likelihood with an effect for every person, which asks of
the times only that they have means: no shape is assumed, and skew does no harm to the estimate (Gourieroux, Monfort
and Trognon, Econometrica 52 (1984) 701-720; Santos Silva and Tenreyro, Rev. Econ. Stat. 88 (2006) 641-658). Where
the ratio differs between persons, and every person has the same share of control cases, which drawing them by chance
brings about, it is the ratio of the team's total times.

The interval keeps recordings whole, because clips of one recording are alike. Its width is that of a cluster jackknife
of the log of the ratio (CV3J of MacKinnon, Nielsen and Webb, J. Appl. Econometrics 38 (2023) 671-694); how many such
widths to go on either side is told by a studentised bootstrap of recordings, which sees the skew of times (Davison and
Hinkley, Bootstrap Methods and their Application (1997), section 5.2; Hall, Ann. Statist. 16 (1988) 927-953). A sample
rarely holds the longest times there are, so that its bootstrap sees too little skew and its interval misses more often
than it says. The remedy is to ask for more than is promised (coverage calibration: Loh, J. Amer. Statist. Assoc. 82
(1987) 155-162; Beran, Biometrika 74 (1987) 457-468): the bootstrap is asked for 97 % where 95 % are promised, a
figure that simulated teams told: each sample's own second bootstrap would be one for every draw of the first.
Nor is the interval ever narrower than Student's t makes it, with degrees of freedom by Welch and Satterthwaite's rule
from the two arms' parts. Persons are strata: the numbers speak of these people, not of others. Of the intervals tried
(docs/effort.md, `python -m tests.unit.annotations.statistics.simulated`) this one kept its promise best. Anchoring,
which is not skewed, has Student's t alone.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from annotations.statistics.bootstrap import LEVEL, resamples

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

DRAWS: Final = 999
ASKED: Final = 0.6
"""The bootstrap may miss this much of what the interval may: it is asked for 97 % where 95 % are promised."""
_STEPS: Final = 60
_CLOSE: Final = 1e-10


@dataclass(frozen=True)
class Estimate:
    """A number with its interval. `without`, `of`: cases of the control arm and of the other that took part; `people`:
    who have cases in both; `recordings`: they come from.
    """

    value: float
    low: float
    high: float
    without: int
    of: int
    people: int
    recordings: int


def both_arms(control: Bools, person: NDArray[Any]) -> Bools:
    """Of each case whether its person has cases in both arms: who has only one cannot be compared with themselves."""
    found = np.isin(person, person[control]) & np.isin(person, person[~control])
    return np.asarray(found, dtype=np.bool_)


def saving(
    times: Floats, control: Bools, person: NDArray[Any], recording: NDArray[Any], *, level: float = LEVEL
) -> Estimate | None:
    """1 - the ratio of mean times, the control arm below. All are [cases], times above 0, in any unit.

    None where nobody has cases in both arms, or fewer than two recordings in each arm take part.
    """
    table = _table(times, control, person, recording)
    if table is None:
        return None
    whole = float(_log_ratio(table.totals[None])[0])
    left_out = _log_ratio(table.without_each())
    error = _jackknife(whole, left_out)
    if error is None:
        return None
    student = float(stats.t.ppf((1 + level) / 2, _freedom(table, np.square(left_out - whole))))
    fewest, most = _studentised(table, whole, 1 - ASKED * (1 - level))
    fewest, most = min(fewest, -student), max(most, student)
    low, high = 1 - np.exp(whole - fewest * error), 1 - np.exp(whole - most * error)
    return Estimate(float(1 - np.exp(whole)), float(low), float(high), *table.counts)


def rise(
    values: Floats, control: Bools, person: NDArray[Any], recording: NDArray[Any], *, level: float = LEVEL
) -> Estimate | None:
    """By how much the mean of `values` is higher outside the control arm, each person compared with themselves.

    Least squares with an effect for every person; the interval by the jackknife and Student's t. None as for `saving`.
    """
    table = _table(values, control, person, recording)
    if table is None:
        return None
    whole = float(_difference(table.totals[None])[0])
    left_out = _difference(table.without_each())
    error = _jackknife(whole, left_out)
    if error is None:
        return None
    spread = float(stats.t.ppf((1 + level) / 2, _freedom(table, np.square(left_out - whole)))) * error
    return Estimate(whole, whole - spread, whole + spread, *table.counts)


@dataclass(frozen=True)
class _Table:
    """Sums by recording, person and arm: `cells` [recordings, persons, 2 arms, (cases, sum)]; arm 0 is the control."""

    cells: Floats
    counts: tuple[int, int, int, int]

    @property
    def totals(self) -> Floats:
        return np.asarray(self.cells.sum(axis=0))

    def without_each(self) -> Floats:
        return self.totals[None] - self.cells


def _table(values: Floats, control: Bools, person: NDArray[Any], recording: NDArray[Any]) -> _Table | None:
    kept = both_arms(control, person)
    if not kept.any():
        return None
    values, control = values[kept].astype(np.float64), control[kept]
    people, who = np.unique(person[kept], return_inverse=True)
    recordings, where = np.unique(recording[kept], return_inverse=True)
    if len(np.unique(where[control])) < 2 or len(np.unique(where[~control])) < 2:
        return None
    arm = (~control).astype(np.intp)
    shape = (len(recordings), len(people), 2)
    place = np.ravel_multi_index((where, who, arm), shape)
    size = int(np.prod(shape))
    sums = [np.bincount(place, weights, minlength=size).reshape(shape) for weights in (None, values)]
    cells = np.stack(sums, axis=-1).astype(np.float64)
    return _Table(cells, (int(control.sum()), int((~control).sum()), len(people), len(recordings)))


def _log_ratio(sums: Floats) -> Floats:
    """The log of the ratio for each of [draws, persons, 2, 2] sums; Newton's way, kept from stepping too far."""
    cases, total = sums[..., 0], sums[..., 1]
    both = total.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = total.sum(axis=-2) / cases.sum(axis=-2)
        found = np.log(means[..., 1] / means[..., 0])
    for _ in range(_STEPS):
        weight = cases[..., 1] * np.exp(found)[..., None]
        share = np.divide(
            weight, weight + cases[..., 0], out=np.zeros_like(weight), where=weight + cases[..., 0] > 0
        )
        score = (total[..., 1] - both * share).sum(axis=-1)
        slope = (both * share * (1 - share)).sum(axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.clip(score / slope, -1.0, 1.0)
        found = found + step
        if not np.isfinite(step).all() or np.abs(step).max() < _CLOSE:
            break
    return np.asarray(found)


def _difference(sums: Floats) -> Floats:
    """The difference of means within persons for each of [draws, persons, 2, 2] sums."""
    cases, total = sums[..., 0], sums[..., 1]
    of_person = cases.sum(axis=-1)
    weight = np.divide(cases.prod(axis=-1), of_person, out=np.zeros_like(of_person), where=of_person > 0)
    means = np.divide(total, cases, out=np.zeros_like(total), where=cases > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((weight * (means[..., 1] - means[..., 0])).sum(axis=-1) / weight.sum(axis=-1))


def _jackknife(whole: float, left_out: Floats) -> float | None:
    """The standard error by leaving out each recording once; None where it cannot be told."""
    if not np.isfinite(left_out).all() or not np.isfinite(whole):
        return None
    taking_part = len(left_out)
    variance = (taking_part - 1) / taking_part * np.square(left_out - whole).sum()
    return float(np.sqrt(variance)) if variance > 0 else None


def _studentised(table: _Table, whole: float, level: float) -> tuple[float, float]:
    """The quantiles, low and high, of (a draw's estimate - ours) in standard errors of that draw."""
    cells, found = table.cells, []
    for times in resamples(len(cells), draws=DRAWS):
        sums = np.asarray(np.tensordot(times, cells, axes=1), dtype=np.float64)
        estimates = _log_ratio(sums)
        found.append((estimates - whole) / _error(cells, times, sums, estimates))
    all_draws = np.concatenate(found)
    told = all_draws[np.isfinite(all_draws)]
    low, high = np.quantile(told, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _error(cells: Floats, times: Floats, sums: Floats, found: Floats) -> Floats:
    """The standard error of each draw's log ratio by the sandwich formula over recordings (Liang and Zeger 1986)."""
    cases, total = sums[..., 0], sums[..., 1]
    ratio = np.exp(found)[:, None]
    weight = cases[..., 1] * ratio
    held = weight + cases[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(held > 0, total.sum(axis=-1) / held, 0.0)
        share = np.where(held > 0, weight / held, 0.0)
    slope = (total.sum(axis=-1) * share * (1 - share)).sum(axis=-1)
    pulls = (
        (1 - share) @ cells[:, :, 1, 1].T
        - ((1 - share) * mean * ratio) @ cells[:, :, 1, 0].T
        - share @ cells[:, :, 0, 1].T
        + (share * mean) @ cells[:, :, 0, 0].T
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt((times * np.square(pulls)).sum(axis=1)) / slope)


def _freedom(table: _Table, pulls: Floats) -> float:
    """Degrees of freedom: each arm's recordings less the persons, weighted by how much of the variance is theirs.

    A recording with cases in both arms counts for the arm of which it holds the greater part.
    """
    cases = table.cells[..., 0].sum(axis=1)
    part = cases / cases.sum(axis=0)
    parts = (part / part.sum(axis=1, keepdims=True) * pulls[:, None]).sum(axis=0)
    free = np.maximum((cases > 0).sum(axis=0) - table.cells.shape[1], 1)
    return float(np.square(parts.sum()) / (np.square(parts) / free).sum())
