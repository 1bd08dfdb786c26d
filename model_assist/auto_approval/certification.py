"""Choosing the threshold above which cases may skip a person, so that the promise holds whatever the scores are worth.

Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei, arXiv 2110.01052, 2021; Ann. Appl. Stat. 2025) with
fixed-sequence testing: thresholds are tried in an order settled before any error is seen, from the surest cases down.
Each is a hypothesis "among the cases at or above it more than the limit are wrong" with an exact binomial p-value. The
first that cannot be rejected ends the row, and the last rejected one is taken. A wrong threshold can only be taken once
the first true hypothesis of the row was rejected, which has at most the probability that each test is held to.

So that a few unlucky cases among the very surest do not end it all, the row is begun at three places, each with a third
of delta (the same paper's several starts, by Bonferroni): after a failure it goes on at the next of these.

Nothing is assumed of the scores: badly calibrated ones cost thresholds, not the promise. The cases with known errors
have to be a random draw from all that the promise is about. (Bates, Angelopoulos, Lei, Malik and Jordan, J. ACM 68
(2021) art. 43, promise the same for losses that only fall as the threshold rises; a share of errors need not.)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_assist.auto_approval.bounds import anytime, clopper_pearson, fewest, p_value

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_THRESHOLDS: Final = 10
FIRST_BEARS: Final = 1
"""Errors that the first threshold of the row is expected to bear: with fewer, one unlucky case would end the row."""

STARTS: Final = (0.0, 0.5, 1.0)
"""Where the row is begun, as a share of its length."""


@dataclass(frozen=True)
class Promise:
    """What is to hold. limit: at most this share of the approved cases may be wrong. confidence: how sure that is.

    certify_at: the share of the limit below which the errors must be shown to lie when the threshold is chosen. What is
    left is the room for errors that the audit will find by chance in a policy that keeps its promise.
    """

    limit: float
    confidence: float
    certify_at: float = 1.0

    @property
    def target(self) -> float:
        """The error rate that is tested."""
        return self.limit * self.certify_at

    def delta(self, attempt: int) -> float:
        """The chance of a wrong threshold that the attempt may take, counted from 1: over any number of attempts at the
        same model and corpus these sum to 1 - confidence, so that trying again until it works does not help."""
        return (1 - self.confidence) / (attempt * (attempt + 1))


@dataclass(frozen=True)
class Look:
    """One threshold of the row. coverage: the share of all candidates at or above it. cases, wrong: of the sample.

    upper_fixed: Clopper-Pearson; upper: the bound that holds at all times (see bounds.anytime), both of the error rate.
    """

    threshold: float
    coverage: float
    cases: int
    wrong: int
    p_value: float
    upper_fixed: float
    upper: float
    passed: bool

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


def level(promise: Promise, attempt: int) -> float:
    """What the p-value of each threshold is compared with."""
    return promise.delta(attempt) / len(STARTS)


@cache
def needed(promise: Promise, *, attempt: int, wrong: int = 0) -> int:
    """Cases with so many errors that a threshold needs, at least, to pass."""
    cases = fewest(promise.target, delta=level(promise, attempt), wrong=wrong)
    while float(anytime(wrong, cases, confidence=promise.confidence, tries=MOST_THRESHOLDS)) > promise.limit:
        cases += max(1, cases // 50)
    return cases


def thresholds(
    scores: Sequence[float] | Floats, *, sample: int, promise: Promise, attempt: int
) -> list[float]:
    """The row of thresholds to try, from the highest down, by the scores of all candidates; no error is looked at.

    The first lies where a sample of that size is expected to hold enough cases to bear one error, the last at the
    lowest score, the others at even steps of coverage in between. [] where even all of the sample would be too few.
    """
    held = np.sort(np.asarray(scores, np.float64))[::-1]
    if not len(held) or sample < needed(promise, attempt=attempt):
        return []
    first = min(1.0, needed(promise, attempt=attempt, wrong=FIRST_BEARS) / sample)
    steps = np.linspace(first, 1.0, MOST_THRESHOLDS)
    row = [float(held[min(len(held), math.ceil(step * len(held))) - 1]) for step in steps]
    return sorted(set(row), reverse=True)


def coverage(scores: Sequence[float] | Floats, threshold: float) -> float:
    """The share of scores at or above a threshold; 0 for no scores."""
    held = np.asarray(scores, np.float64)
    return float(np.mean(held >= threshold)) if len(held) else 0.0


def walk(
    row: Sequence[float], *, population: Floats, scores: Floats, wrong: Bools, promise: Promise, attempt: int
) -> list[Look]:
    """Try the thresholds in their order on a random sample with known errors; after a failure go on at the next start.

    A threshold passes where its p-value is at most `level` and the bound that the running policy will be held to is not
    above the limit already. population: the scores of all candidates. The choice is the last look that passed.
    """
    looks: list[Look] = []
    above = scores[None, :] >= np.array(row, np.float64)[:, None]
    counts, errors_of = above.sum(axis=1), (above & wrong).sum(axis=1)
    uppers = anytime(errors_of, counts, confidence=promise.confidence, tries=max(1, len(row)))
    starts, at = {round(share * (len(row) - 1)) for share in STARTS}, 0
    for place, threshold in enumerate(row):
        if place < at:
            continue
        cases, errors, upper = int(counts[place]), int(errors_of[place]), float(uppers[place])
        p = p_value(errors, cases, promise.target)
        passed = p <= level(promise, attempt) and upper <= promise.limit
        looks.append(
            Look(
                threshold=threshold, coverage=coverage(population, threshold), cases=cases, wrong=errors, p_value=p,
                upper_fixed=float(clopper_pearson(errors, cases, confidence=promise.confidence)), upper=upper,
                passed=passed,
            )
        )  # fmt: skip
        if not passed:
            at = min((start for start in starts if start > place), default=len(row))
    return looks


def chosen(looks: Sequence[Look]) -> Look | None:
    """The last look that passed; None where none did."""
    passed = [look for look in looks if look.passed]
    return passed[-1] if passed else None
