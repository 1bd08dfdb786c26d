"""The statistics of the audit. Arrays in, numbers out; nothing here knows what a clip is.

Sources: mutual information and the uncertainty coefficient: Theil, Statistical Decomposition Analysis (1972).
Bias-corrected Cramér's V: Bergsma, J. Korean Statistical Society 42 (2013) 323-328. When chi-squared may be trusted:
Cochran, Biometrics 10 (1954) 417-451; where not, tables with the same margins are drawn (Patefield, Applied
Statistics 30 (1981) 91-97, through scipy). Two Poisson rates compared by the conditional binomial test: Przyborowski
and Wilenski, Biometrika 31 (1940) 313-323. Many tests at once: Holm, Scandinavian J. Statistics 6 (1979) 65-70.
Coverage of what is still unseen: Good, Biometrika 40 (1953) 237-264. Outliers: Iglewicz and Hoaglin, How to Detect and
Handle Outliers (1993).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

DRAWN_TABLES: Final = 999
_DRAWN_AT_ONCE: Final = 37
_TESTED_VALUES: Final = 100
_SEED: Final = 20_130  # any fixed number: the same inputs give the same report

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def entropy_bits(counts: NDArray[Any]) -> float:
    """Shannon entropy of the shares that these counts make up, in bits; 0 for no counts at all."""
    total = float(counts.sum())
    if total <= 0:
        return 0.0
    shares = counts[counts > 0] / total
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


@dataclass(frozen=True)
class Association:
    """How well one column tells another, over the `total` rows where both are known.

    `accuracy`: of the best rule "x -> its commonest y", judged on the rows it was made from; `held_out`: the same with
    every row judged by a rule made from the others (an x seen once answers with the commonest y of all).
    `baseline`: share of the commonest y. `information` bits of the `entropy` bits of y are known from x (their
    quotient: `explained`, 0 to 1). `v`: bias-corrected Cramér's V, 0 to 1.
    """

    total: int
    x_values: int
    y_values: int
    correct: int
    accuracy: float
    held_out: float
    baseline: float
    information: float
    entropy: float
    explained: float
    v: float

    @property
    def errors_removed(self) -> float:
        """Share of the baseline's mistakes that x avoids (Goodman and Kruskal's lambda on held-out rows), 0 to 1."""
        wrong = 1 - self.baseline
        return 0.0 if wrong <= 0 else min(1.0, max(0.0, (self.held_out - self.baseline) / wrong))


def rounded(found: Association) -> dict[str, Any]:
    """As plain JSON, with six decimals."""
    numbers = {**asdict(found), "errors_removed": found.errors_removed}
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in numbers.items()}


@dataclass(frozen=True)
class Table:
    """Contingency table of two columns, as its cells that are not zero, sorted by row and column.

    `x`, `y`, `counts`: one entry per cell; `by_x`, `by_y`: the margins, none of them zero.
    """

    x: Counts
    y: Counts
    counts: Counts
    by_x: Counts
    by_y: Counts

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def dense(self) -> Counts:
        """Every cell; shape (values of x, values of y)."""
        full = np.zeros((len(self.by_x), len(self.by_y)), dtype=np.int64)
        full[self.x, self.y] = self.counts
        return full


def table_of(x: NDArray[Any], y: NDArray[Any]) -> Table:
    """Of two columns of codes, where both are known (negative: unknown). Values that never occur get no place."""
    known = (x >= 0) & (y >= 0)
    xs, x_at = np.unique(x[known], return_inverse=True)
    ys, y_at = np.unique(y[known], return_inverse=True)
    cells, counts = np.unique(x_at.astype(np.int64) * max(len(ys), 1) + y_at, return_counts=True)
    rows, columns = np.divmod(cells, max(len(ys), 1))
    return Table(
        rows, columns, counts.astype(np.int64), np.bincount(x_at, minlength=len(xs)).astype(np.int64),
        np.bincount(y_at, minlength=len(ys)).astype(np.int64),
    )  # fmt: skip


def association(table: Table) -> Association:
    """What x tells of y. Raises ValueError for an empty table."""
    total = table.total
    if total == 0:
        raise ValueError("an empty table tells nothing")
    top, _, _, _ = _leaders(table)
    correct = int(top.sum())
    entropy = entropy_bits(table.by_y)
    information = entropy + entropy_bits(table.by_x) - entropy_bits(table.counts)
    information = min(max(0.0, information), entropy)
    return Association(
        total=total, x_values=len(table.by_x), y_values=len(table.by_y), correct=correct, accuracy=correct / total,
        held_out=held_out_accuracy(table), baseline=float(table.by_y.max()) / total, information=information,
        entropy=entropy, explained=information / entropy if entropy > 0 else 0.0, v=cramers_v(table),
    )  # fmt: skip


def _leaders(table: Table) -> tuple[Counts, Counts, Counts, Counts]:
    """For each x: its largest count, how many answers share it, its next smaller count (or 0), how many share that."""
    order = np.lexsort((-table.counts, table.x))
    x, counts = table.x[order], table.counts[order]
    first = np.searchsorted(x, np.arange(len(table.by_x)))
    top = counts[first]
    at_top = np.bincount(x, weights=counts == top[x], minlength=len(top)).astype(np.int64)
    below = counts < top[x]
    second = np.zeros_like(top)
    np.maximum.at(second, x[below], counts[below])
    at_second = np.bincount(x[below], weights=counts[below] == second[x[below]], minlength=len(top)).astype(
        np.int64
    )
    return top, at_top, second, at_second


def held_out_accuracy(table: Table) -> float:
    """Leave-one-out accuracy of the rule "x -> its commonest y"; equally common answers are guessed among.

    A row that is alone with its x is answered with the commonest y of the others. Without a row, only an answer that
    led alone can still lead: it is right while it stays ahead of the next, and by chance when it falls level.
    """
    total = table.total
    if total < 2:
        return 0.0
    top, at_top, second, at_second = _leaders(table)
    ahead = (at_top == 1) & (top - 1 > second)
    level = (at_top == 1) & (top - 1 == second) & (second > 0)
    right = float(top[ahead].sum()) + float((top[level] / (1 + at_second[level])).sum())
    alone = table.by_x[table.x] == 1
    if alone.any():
        overall = Table(
            np.zeros_like(table.by_y), np.arange(len(table.by_y)), table.by_y, np.array([total]), table.by_y
        )
        best, ties, next_best, next_ties = (int(found[0]) for found in _leaders(overall))
        leader = int((table.y[alone] == int(table.by_y.argmax())).sum())
        if ties == 1 and best - 1 > next_best:
            right += leader
        elif ties == 1 and best - 1 == next_best and next_best > 0:
            right += leader / (1 + next_ties)
    return right / total


def chi_squared(table: Table) -> float:
    """Pearson's statistic."""
    squares = table.counts**2 / (table.by_x[table.x].astype(float) * table.by_y[table.y])
    return max(0.0, table.total * (float(squares.sum()) - 1))


def cramers_v(table: Table) -> float:
    """Bergsma's bias-corrected V, 0 to 1; 0 where x or y has a single value or every row its own."""
    total, rows, columns = table.total, len(table.by_x), len(table.by_y)
    if rows < 2 or columns < 2 or total < 2:
        return 0.0
    squared = max(0.0, chi_squared(table) / total - (rows - 1) * (columns - 1) / (total - 1))
    least = min(rows - (rows - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    return 0.0 if least <= 1e-12 else float(min(1.0, np.sqrt(squared / least)))


def independence(table: Table) -> tuple[float, str]:
    """Chance of so uneven a table when x tells nothing, and by which test: "chi-squared", "drawn tables", or "none"
    where x or y has a single value. Of long lists of values the commonest are tested.
    """
    if len(table.by_x) < 2 or len(table.by_y) < 2:
        return 1.0, "none"
    x, y = _head(table.by_x)[table.x], _head(table.by_y)[table.y]
    full = np.zeros((int(x.max()) + 1, int(y.max()) + 1))
    np.add.at(full, (x, y), table.counts)
    rows, columns = full.sum(axis=1), full.sum(axis=0)
    expected = np.outer(rows, columns) / full.sum()
    found = float(((full - expected) ** 2 / expected).sum())
    if expected.min() >= 1 and (expected < 5).mean() <= 0.2:
        return float(special.chdtrc((len(rows) - 1) * (len(columns) - 1), found)), "chi-squared"
    margins: Any = stats.random_table(rows.astype(np.int64), columns.astype(np.int64))
    random, as_far = np.random.default_rng(_SEED), 0
    for size in [_DRAWN_AT_ONCE] * (DRAWN_TABLES // _DRAWN_AT_ONCE):
        drawn = margins.rvs(size, random_state=random)
        as_far += int((((drawn - expected) ** 2 / expected).sum(axis=(1, 2)) >= found * (1 - 1e-9)).sum())
    return (1 + as_far) / (1 + DRAWN_TABLES), "drawn tables"


def _head(margin: Counts) -> Counts:
    """New places for values: the commonest keep one each, in order, and the rest share the last."""
    places = np.empty(len(margin), dtype=np.int64)
    order = np.argsort(-margin, kind="stable")
    places[order] = np.minimum(np.arange(len(margin)), _TESTED_VALUES - 1)
    return places


def lump_rare(codes: NDArray[Any], *, least: int) -> NDArray[np.int64]:
    """Codes with those that occur fewer than `least` times put together under one new code."""
    known = codes >= 0
    counts = np.bincount(codes[known]) if known.any() else np.zeros(0, dtype=np.int64)
    found = codes.astype(np.int64)
    if len(counts):
        found[known] = np.where(counts[codes[known]] < least, len(counts), found[known])
    return found


def quantile_codes(values: NDArray[Any], known: NDArray[np.bool_], *, parts: int) -> NDArray[np.int64]:
    """Which of `parts` equally filled parts of the known values each value falls in; -1 where unknown."""
    codes = np.full(len(values), -1, dtype=np.int64)
    if known.any():
        edges = np.unique(np.quantile(values[known], np.linspace(0, 1, parts + 1)[1:-1]))
        codes[known] = np.searchsorted(edges, values[known], side="right")
    return codes


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for having made all these tests, in the same order."""
    order = np.argsort(np.asarray(p_values, dtype=float), kind="stable")
    corrected, worst = [1.0] * len(p_values), 0.0
    for place, index in enumerate(order.tolist()):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = worst
    return corrected


def resolution(values: NDArray[np.int64], *, steps: Sequence[int], share: float = 0.99) -> int:
    """The coarsest of `steps` that at least `share` of the values are multiples of; the finest when none fits."""
    for step in sorted(steps, reverse=True):
        if len(values) and float((values % step == 0).mean()) >= share:
            return step
    return min(steps)


@dataclass(frozen=True)
class Spike:
    """A value that occurs far more often than the values around it.

    `expected`: the mean count of its `neighbours` neighbouring values; `p`: chance of such a count if it were as common
    as they are, corrected for all values tested.
    """

    value: int
    count: int
    expected: float
    neighbours: int
    p: float

    @property
    def ratio(self) -> float:
        """How many times its neighbours' mean; its own count where it has none."""
        return self.count / self.expected if self.expected else float(self.count)


def spikes(
    values: NDArray[np.int64], *, step: int, reach: int = 10, ratio: float = 3.0, share: float = 0.02,
    level: float = 1e-3,
) -> list[Spike]:  # fmt: skip
    """Values (rounded to `step`) that stand out from up to `reach` neighbours on either side, commonest first.

    A value that is the only one stands out from neighbours that never occur.

    The neighbours are the nearest values that occur at all, so that gaps of a coarser grid do not count as zeros. Given
    a value's count c and its n neighbours' total s, c is binomial(c + s, 1 / (n + 1)) when all are equally common.
    Reported are those that stay below `level` after Holm's correction, reach `ratio` times their neighbours' mean and
    hold `share` of all values: in a large corpus any bump is significant, so it must be large as well.
    """
    if not len(values):
        return []
    bins, counts = np.unique(np.floor_divide(values + step // 2, step), return_counts=True)
    if len(bins) == 1:
        alone, count = int(bins[0]) * step, int(counts[0])
        p_alone = (1.0 / (2 * reach + 1)) ** count
        return [Spike(alone, count, 0.0, 0, p_alone)] if p_alone < level else []
    totals = np.concatenate([[0], np.cumsum(counts)])
    at = np.arange(len(bins))
    low, high = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(bins))
    around, near = totals[high] - totals[low] - counts, high - low - 1
    tested = near > 0
    p = np.ones(len(bins))
    p[tested] = special.bdtrc(
        counts[tested] - 1.0, (counts + around)[tested].astype(np.int64), 1.0 / (near[tested] + 1.0)
    )
    corrected = np.asarray(holm(p.tolist()))
    expected = np.divide(around, near, out=np.zeros(len(bins)), where=near > 0)
    found = tested & (corrected < level) & (counts >= ratio * expected) & (counts >= share * len(values))
    made = [
        Spike(int(bins[i]) * step, int(counts[i]), float(expected[i]), int(near[i]), float(corrected[i]))
        for i in np.flatnonzero(found)
    ]
    return sorted(made, key=lambda spike: (-spike.count, spike.value))


def excess_over(count: int, other: int, *, ratio: float) -> float:
    """Chance of `count` against `other` when the first is `ratio` times as common at most (conditional binomial)."""
    if count <= 0:
        return 1.0
    return float(special.bdtrc(count - 1.0, count + other, ratio / (1 + ratio)))


def coverage(counts: Counts) -> float:
    """Good's estimate of how likely the next draw has been seen before: 1 - (values seen once) / (draws)."""
    total = int(counts.sum())
    return 1.0 - int((counts == 1).sum()) / total if total else 0.0


def robust_z(values: NDArray[Any]) -> Floats:
    """Modified z-scores: distance from the median in units of the MAD, or of the mean deviation where the MAD is 0."""
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        return numbers
    away = numbers - np.median(numbers)
    spread = 1.482602218505602 * np.median(np.abs(away))
    if spread == 0:
        spread = 1.2533141373155001 * np.abs(away).mean()
    return np.zeros(len(numbers)) if spread == 0 else np.asarray(away / spread, dtype=np.float64)


def histogram(values: NDArray[Any], *, bins: int = 30) -> dict[str, list[float]]:
    """Counts in equal parts of the values' range: `edges` (one more than) `counts`. Empty lists for no values."""
    if not len(values):
        return {"edges": [], "counts": []}
    counts, edges = np.histogram(np.asarray(values, dtype=np.float64), bins=bins)
    return {"edges": [round(float(edge), 6) for edge in edges], "counts": [int(count) for count in counts]}


def quantiles(values: NDArray[Any]) -> dict[str, float]:
    """Minimum, quartiles and maximum; empty for no values."""
    if not len(values):
        return {}
    found = np.quantile(np.asarray(values, dtype=np.float64), [0, 0.25, 0.5, 0.75, 1])
    return dict(zip(("min", "q1", "median", "q3", "max"), (round(float(x), 6) for x in found), strict=True))
