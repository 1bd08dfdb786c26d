"""Bootstrap intervals: how much a score could move by the draw of the clips alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from model_assist.training.metrics.pairs import Floats, Integers

Measure = Callable[[Floats], dict[str, Floats]]
"""Weights of the clips [resamples, clips] to measures [resamples]; a weight is how often a clip was drawn."""

_CELLS: Final = 2_000_000
"""Weights held at a time (16 MB)."""


@dataclass(frozen=True)
class Bootstrap:
    """resamples: how many draws. seed: the same draws every time. level: how much an interval covers."""

    resamples: int = 1000
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 1 or not 0 < self.level < 1:
            raise ValueError("resamples must be positive and level between 0 and 1")

    def intervals(self, measure: Measure, units: Integers, unit: str) -> dict[str, Any]:
        """{measure: [low, high]} and `how`, in words. {} with fewer than two units: nothing can be said then.

        The percentile interval of Efron and Tibshirani (An Introduction to the Bootstrap, 1993, chapter 13): as many
        units as there are get drawn with replacement, a unit's clips together, which keeps clips cut from one
        recording from pretending to be independent (the cluster bootstrap; for BLEU, Koehn 2004). `measure` gets
        the number of times that each clip was drawn, so that no clip is scored twice.
        """
        number = int(units.max()) + 1 if len(units) else 0
        if number < 2:
            return {}
        random = np.random.default_rng(self.seed)
        at_once = max(1, _CELLS // max(len(units), number))
        drawn: dict[str, list[Floats]] = {}
        for start in range(0, self.resamples, at_once):
            size = min(at_once, self.resamples - start)
            weights = random.multinomial(number, np.full(number, 1 / number), size=size).astype(np.float64)
            for name, values in measure(weights[:, units]).items():
                drawn.setdefault(name, []).append(values)
        tail = 100 * (1 - self.level) / 2
        found: dict[str, Any] = {}
        for name, parts in drawn.items():
            low, high = np.percentile(np.concatenate(parts), [tail, 100 - tail])
            found[name] = [float(low), float(high)]
        percent = f"{100 * self.level:g} %"
        found["how"] = (
            f"{percent} percentile bootstrap, {self.resamples} resamples of {number} {unit}, seed {self.seed}"
        )
        return found


def measured(measure: Measure, clips: int) -> dict[str, float]:
    """The measures of the clips as they are, each counted once."""
    return {name: float(values[0]) for name, values in measure(np.ones((1, clips))).items()}


def with_intervals(
    measure: Measure, clips: int, units: Integers, unit: str, bootstrap: Bootstrap | None
) -> dict[str, Any]:
    """`measured`, with `intervals` where a bootstrap is wanted and can be made."""
    scores: dict[str, Any] = measured(measure, clips)
    if bootstrap is not None and (found := bootstrap.intervals(measure, units, unit)):
        scores["intervals"] = found
    return scores


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """Medians [resamples] of values [clips] counted weights [resamples, clips] times; 0 where all weights are 0.

    Between the two middle values where their number is even, as numpy does it.
    """
    if not len(values):
        return np.zeros(len(weights))
    order = np.argsort(values, kind="stable")
    held, running = values[order], np.cumsum(weights[:, order], axis=1)
    half = running[:, -1:] / 2
    lower = np.minimum((running < half).sum(axis=1), len(held) - 1)
    upper = np.minimum((running <= half).sum(axis=1), len(held) - 1)
    median: Floats = np.where(half[:, 0] > 0, (held[lower] + held[upper]) / 2, 0.0)
    return median
