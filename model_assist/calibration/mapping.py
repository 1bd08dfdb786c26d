"""From a confidence to a probability of being right, by stored parameters. Plain Python: pages use it too.

logistic: {"slope": a, "intercept": b}; p = 1 / (1 + exp(-(a * logit(c) + b))), so that slope 1 and intercept 0 leave
a confidence as it is (Platt 1999 on the log odds).
isotonic: {"x": [...], "y": [...]}, both rising; straight between the points, flat beyond them
(Zadrozny and Elkan 2002).
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Final

LOGISTIC: Final = "logistic"
ISOTONIC: Final = "isotonic"

CLOSEST: Final = 1e-6
"""Confidences nearer to 0 or 1 than this are taken as this near: their log odds would outweigh all others."""


def log_odds(confidence: float) -> float:
    """Natural log of c / (1 - c), with c kept CLOSEST away from both ends."""
    kept = min(max(confidence, CLOSEST), 1 - CLOSEST)
    return math.log(kept / (1 - kept))


def apply(method: str, parameters: Mapping[str, Any], confidence: float) -> float:
    """The probability, 0 to 1, that an answer of this confidence is right. ValueError for an unknown method."""
    if method == LOGISTIC:
        return _sigmoid(parameters["slope"] * log_odds(confidence) + parameters["intercept"])
    if method == ISOTONIC:
        return _between(parameters["x"], parameters["y"], confidence)
    raise ValueError(f"unknown calibration method {method!r}")


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _between(xs: list[float], ys: list[float], x: float) -> float:
    right = bisect_right(xs, x)
    if right == 0:
        return float(ys[0])
    if right == len(xs):
        return float(ys[-1])
    left = right - 1
    share = (x - xs[left]) / (xs[right] - xs[left])
    return float(ys[left] + share * (ys[right] - ys[left]))
