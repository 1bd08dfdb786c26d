"""95 % intervals by drawing recordings again, with replacement: clips of one recording are alike and stay together.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), ch. 13; whole clusters are drawn: Davison and
Hinkley, Bootstrap Methods and their Application (1997), section 3.8. Percentiles are widened for few clusters as
Hesterberg, The American Statistician 69 (2015) 371-386, section 5.1 says ("expanded percentile interval").
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

LEVEL: Final = 0.95
DRAWS: Final = 1000
SEED: Final = 20_265  # any fixed number: the same answers give the same report
_CELLS_AT_ONCE: Final = 1_000_000
_UNDEFINED_AT_MOST: Final = 0.05


def resamples(clusters: int, *, draws: int = DRAWS, seed: int = SEED) -> Iterator[Floats]:
    """How often each cluster is drawn, in blocks [some draws, clusters]; every row sums to `clusters`."""
    draw = np.random.default_rng(seed)
    at_once = max(1, _CELLS_AT_ONCE // max(clusters, 1))
    for begin in range(0, draws, at_once):
        rows = min(at_once, draws - begin)
        taken = draw.integers(0, clusters, size=(rows, clusters), dtype=np.int64)
        taken += clusters * np.arange(rows, dtype=np.int64)[:, None]
        counts = np.bincount(taken.ravel(), minlength=rows * clusters)
        yield counts.reshape(rows, clusters).astype(np.float64)


def interval(estimates: Floats, *, clusters: int, level: float = LEVEL) -> tuple[float, float] | None:
    """The interval that the estimates [draws] of a bootstrap over so many clusters span; None where more than one draw
    in twenty gave no estimate (NaN), or all gave the same one: what is all alike does not show how sure that is.
    """
    defined = estimates[np.isfinite(estimates)]
    if clusters < 2 or len(defined) < (1 - _UNDEFINED_AT_MOST) * len(estimates) or len(defined) == 0:
        return None
    if defined.min() == defined.max():
        return None
    widened = np.sqrt(clusters / (clusters - 1)) * stats.t.ppf((1 - level) / 2, clusters - 1)
    tail = float(stats.norm.cdf(widened))
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
