"""Crash spans: overlap in time and errors of the two ends."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np

from model_assist.crashchat.kinds import CRASH_LOCALIZATION
from model_assist.training.metrics import published
from model_assist.training.metrics.bootstrap import Bootstrap, Measure, weighted_median, with_intervals
from model_assist.training.metrics.pairs import (
    MICROSECONDS,
    Floats,
    Pair,
    Record,
    Scores,
    Units,
    ratio,
    time_counts,
    usable,
)

THRESHOLDS: Final = (Fraction(3, 10), Fraction(5, 10), Fraction(7, 10))
NAMES: Final = ("ap30", "ap50", "ap70")

Span = tuple[int, int]


def spans(
    records: Sequence[Record], places: Sequence[int], units: Units, *, bootstrap: Bootstrap | None = None
) -> Scores:
    """Mean IoU, AP@30/50/70 (share of clips whose IoU reaches it), exact match, and errors of both ends in seconds.

    Over the clips whose true span has a length. A missing or unparsable prediction has IoU 0; the errors are over
    the clips with a readable span (`boundary_error_count`), mean, median and signed mean (bias: positive is late).
    True spans of zero length are in `zero_length`: nothing overlaps them, so that an IoU would say nothing. Where
    the truth is "absent", a predicted span is a false alarm and nothing else, as CrashChat scores crash clips only.
    """
    pairs = [records[place][CRASH_LOCALIZATION] for place in places]
    long = [place for place in places if _length(records[place][CRASH_LOCALIZATION].truth) > 0]
    scored = [records[place][CRASH_LOCALIZATION] for place in long]
    points = [p for p in pairs if p.truth is not None and _length(p.truth) == 0]
    return {
        "count": len(scored),
        **time_counts(pairs),
        **with_intervals(_measure(scored), len(scored), units.of(long), units.name, bootstrap),
        "boundary_error_count": sum(map(usable, scored)),
        "zero_length_truth": len(points),
        "zero_length": _zero_length(points),
        "published": published.spans(pairs),
    }


def span_iou(a: Span, b: Span) -> float:
    """Intersection over union of two spans in microseconds; two equal spans of zero length have IoU 1."""
    if a == b:
        return 1.0
    shared, joined = overlap(a, b)
    return shared / joined if joined > 0 else 0.0


def overlap(a: Span, b: Span) -> Span:
    """The lengths of the intersection and of the union of two spans, exactly."""
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared, (a[1] - a[0]) + (b[1] - b[0]) - shared


def _measure(pairs: Sequence[Pair]) -> Measure:
    """The measures of pairs whose true span has a length."""
    rows = np.array([_row(pair) for pair in pairs], dtype=np.float64).reshape(-1, 2 + len(THRESHOLDS))
    read = np.array([usable(pair) for pair in pairs], dtype=bool)
    errors = np.array([_errors(pair) for pair in pairs if usable(pair)], dtype=np.float64).reshape(-1, 2)

    def measure(weights: Floats) -> dict[str, Floats]:
        means = ratio(weights @ rows, weights.sum(axis=1, keepdims=True)).T
        return {
            "miou": means[0],
            **dict(zip(NAMES, means[2:], strict=True)),
            "exact": means[1],
            **boundary("start", errors[:, 0], weights[:, read]),
            **boundary("end", errors[:, 1], weights[:, read]),
        }

    return measure


def boundary(name: str, errors: Floats, weights: Floats) -> dict[str, Floats]:
    """Mean and median of the absolute errors [clips] in seconds, and the signed mean, under weights."""
    total = weights.sum(axis=1)
    return {
        f"{name}_error_s": ratio(weights @ np.abs(errors), total),
        f"{name}_error_median_s": weighted_median(np.abs(errors), weights),
        f"{name}_bias_s": ratio(weights @ errors, total),
    }


def _row(pair: Pair) -> list[float]:
    if not usable(pair) or pair.truth is None or pair.predicted is None:
        return [0.0] * (2 + len(THRESHOLDS))
    true, said = _span(pair.truth), _span(pair.predicted)
    shared, joined = overlap(true, said)
    return [
        shared / joined,
        float(true == said),
        *(float(shared >= threshold * joined) for threshold in THRESHOLDS),
    ]


def _errors(pair: Pair) -> tuple[float, float]:
    assert pair.truth is not None
    assert pair.predicted is not None
    true, said = _span(pair.truth), _span(pair.predicted)
    return (said[0] - true[0]) / MICROSECONDS, (said[1] - true[1]) / MICROSECONDS


def _zero_length(points: Sequence[Pair]) -> Scores:
    """Of clips whose true span is an instant: how many, found exactly, inside the predicted span, and the errors."""
    read = [pair for pair in points if usable(pair)]
    inside = exact = 0
    for pair in read:
        assert pair.truth is not None
        assert pair.predicted is not None
        (at, _), (start, end) = _span(pair.truth), _span(pair.predicted)
        inside += start <= at <= end
        exact += start == at == end
    errors = np.array([_errors(pair) for pair in read], dtype=np.float64).reshape(-1, 2)
    start_error, end_error = np.abs(errors).mean(axis=0) if len(read) else (0.0, 0.0)
    return {
        "count": len(points),
        "read": len(read),
        "exact": exact,
        "inside": inside,
        "start_error_s": float(start_error),
        "end_error_s": float(end_error),
    }


def _span(value: Mapping[str, Any]) -> Span:
    return value["start_us"], value["end_us"]


def _length(value: Mapping[str, Any] | None) -> int:
    return 0 if value is None else int(value["end_us"] - value["start_us"])
