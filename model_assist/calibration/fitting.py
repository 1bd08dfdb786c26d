"""Fitting a calibration and measuring it on answers that it was not fitted on. Needs scikit-learn; no Django."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from model_assist.calibration.mapping import ISOTONIC, LOGISTIC, apply, log_odds
from model_assist.calibration.reliability import Bools, Floats, report

MIN_PAIRS: Final = 30
MIN_RECORDINGS: Final = 5
ISOTONIC_FROM: Final = 200
"""From so many pairs a free rising curve is fitted; with fewer it would follow chance, and two numbers are fitted."""

FOLDS: Final = 5


class CannotFit(ValueError):
    """The pairs do not carry a calibration; `code` is a stable word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Fitted:
    """A calibration with its measures. before: the raw confidences'. after: out of fold, so not on fitted data.

    Both as reliability.report gives them. recordings: how many the pairs come from.
    """

    method: str
    parameters: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]
    folds: int
    recordings: int


def fit(
    confidence: Sequence[float], right: Sequence[bool], recordings: Sequence[str], *, seed: int = 0
) -> Fitted:
    """Fit (confidence, was it right) pairs: isotonic from 200 pairs on, else logistic on the log odds.

    Measured by cross-validation over at most five folds that keep a recording's clips together. Raises CannotFit
    with fewer than 30 pairs, fewer than 5 recordings, or when all answers are right or all wrong.
    """
    given, hits = np.asarray(confidence, np.float64), np.asarray(right, np.bool_)
    groups = np.unique(np.asarray(recordings, dtype=object).astype(str), return_inverse=True)[1]
    number = int(groups.max()) + 1 if len(groups) else 0
    _check(given, hits, number)
    method = ISOTONIC if len(given) >= ISOTONIC_FROM else LOGISTIC
    folds = min(FOLDS, number)
    outside = np.empty_like(given)
    for known, unknown in GroupKFold(folds, shuffle=True, random_state=seed).split(given, hits, groups):
        parameters = parameters_of(method, given[known], hits[known])
        outside[unknown] = [apply(method, parameters, one) for one in given[unknown]]
    return Fitted(
        method=method,
        parameters=parameters_of(method, given, hits),
        before=report(given, hits, seed=seed),
        after=report(outside, hits, seed=seed),
        folds=folds,
        recordings=number,
    )


def _check(given: Floats, hits: Bools, recordings: int) -> None:
    if len(given) < MIN_PAIRS:
        raise CannotFit("too_few_pairs", f"{len(given)} reviewed answers; at least {MIN_PAIRS} are needed")
    if hits.all() or not hits.any():
        which = "right" if hits.all() else "wrong"
        raise CannotFit(
            "one_class", f"all {len(given)} reviewed answers are {which}: there is nothing to tell apart"
        )
    if recordings < MIN_RECORDINGS:
        raise CannotFit(
            "too_few_recordings",
            f"the answers come from {recordings} recordings; at least {MIN_RECORDINGS} are needed to measure it",
        )


def parameters_of(method: str, confidence: Floats, right: Bools) -> dict[str, Any]:
    """The parameters that `mapping.apply` takes, fitted on all the given pairs."""
    return _isotonic(confidence, right) if method == ISOTONIC else _logistic(confidence, right)


def _logistic(confidence: Floats, right: Bools) -> dict[str, Any]:
    """Maximum likelihood of Platt's softened targets, (hits + 1) / (hits + 2) and 1 / (misses + 2), which stay
    finite where confidence separates right from wrong. A falling slope would turn the model's order round: then
    the best flat line is taken, which is the best of all that do not fall."""
    hits = int(right.sum())
    targets = np.where(right, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    odds = np.array([[log_odds(one)] for one in confidence])
    if np.ptp(odds) > 0:
        model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
        model.fit(
            np.concatenate([odds, odds]),
            np.repeat([1, 0], len(odds)),
            sample_weight=np.concatenate([targets, 1 - targets]),
        )
        slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        if slope > 0:
            return {"slope": slope, "intercept": intercept}
    return {"slope": 0.0, "intercept": log_odds(float(targets.mean()))}


def _isotonic(confidence: Floats, right: Bools) -> dict[str, Any]:
    """The rising steps' corner points, kept 1 / (pairs + 2) away from 0 and 1: nobody is sure from so few."""
    least = 1 / (len(right) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(confidence, right)
    return {"x": [float(x) for x in model.X_thresholds_], "y": [float(y) for y in model.y_thresholds_]}
