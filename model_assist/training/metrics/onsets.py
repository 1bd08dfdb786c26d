"""Pre-crash onsets: how early before the crash, and how far from the true instant."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from model_assist.crashchat.kinds import CRASH_LOCALIZATION, PRE_CRASH_LOCALIZATION
from model_assist.training.metrics import published
from model_assist.training.metrics.bootstrap import Bootstrap, Measure, with_intervals
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
from model_assist.training.metrics.spans import NAMES, THRESHOLDS, boundary

EARLY_TOLERANCE_US: Final = 500_000
"""An onset predicted at most this long before the true one counts as right."""


def onsets(
    records: Sequence[Record], places: Sequence[int], units: Units, *, bootstrap: Bootstrap | None = None
) -> Scores:
    """Mean of `onset_score` (miou) and its AP@30/50/70, exact match, and the error in seconds.

    The score needs the true crash start of the same clip: clips without one, and clips whose true onset is not
    before it (time to accident <= 0), are left out of it and counted. The error is over all clips with a true and a
    readable onset (`error_count`): mean, median, signed mean (positive is late) and the share within half a second.
    """
    pairs = [records[place][PRE_CRASH_LOCALIZATION] for place in places]
    starts = [_crash_start(records[place]) for place in places]
    scored: list[int] = []
    no_start = no_lead = 0
    for row, (pair, start) in enumerate(zip(pairs, starts, strict=True)):
        if pair.truth is None:
            continue
        if start is None:
            no_start += 1
        elif start <= pair.truth["at_us"]:
            no_lead += 1
        else:
            scored.append(row)
    timed = [row for row, pair in enumerate(pairs) if pair.truth is not None and usable(pair)]
    unit = units.of(places)
    leads = with_intervals(
        _leads([(pairs[row], starts[row] or 0) for row in scored]), len(scored), unit_of(unit, scored), units.name,
        bootstrap,
    )  # fmt: skip
    errors = with_intervals(
        _errors([pairs[row] for row in timed]), len(timed), unit_of(unit, timed), units.name, bootstrap
    )
    intervals = {**errors.pop("intervals", {}), **leads.pop("intervals", {})}
    return {
        "count": len(scored),
        **time_counts(pairs),
        **leads,
        "without_crash_start": no_start,
        "without_lead_time": no_lead,
        **errors,
        "error_count": len(timed),
        **({"intervals": intervals} if intervals else {}),
        "published": published.onsets(list(zip(pairs, starts, strict=True))),
    }


def unit_of(units: "np.typing.NDArray[np.int64]", rows: Sequence[int]) -> "np.typing.NDArray[np.int64]":
    """The units of some rows, numbered anew without gaps."""
    return np.unique(units[list(rows)], return_inverse=True)[1].astype(np.int64)


def onset_score(truth_us: int, predicted_us: int | None, crash_start_us: int) -> float:
    """CrashChat's score of one onset, by time to accident TTA = crash start - onset.

    0 without a prediction, at or after the crash start, or more than half a second before the true onset; 1
    within that half second up to the true onset; min(TTA, TTA') / max(TTA, TTA') in between.  The true TTA must
    be positive (ValueError).
    """
    if truth_us >= crash_start_us:
        raise ValueError("the true onset must lie before the crash")
    lead, of = _lead(truth_us, predicted_us, crash_start_us)
    return lead / of


def _lead(truth_us: int, predicted_us: int | None, crash_start_us: int) -> tuple[int, int]:
    """The score as a fraction of whole microseconds."""
    true_lead = crash_start_us - truth_us
    if predicted_us is None or predicted_us >= crash_start_us or predicted_us < truth_us - EARLY_TOLERANCE_US:
        return 0, true_lead
    return min(true_lead, crash_start_us - predicted_us), true_lead


def _leads(scored: Sequence[tuple[Pair, int]]) -> Measure:
    rows = []
    for pair, start in scored:
        assert pair.truth is not None
        said = pair.predicted["at_us"] if usable(pair) and pair.predicted is not None else None
        lead, of = _lead(pair.truth["at_us"], said, start)
        rows.append([lead / of, *(float(lead >= threshold * of) for threshold in THRESHOLDS)])
    held = np.array(rows, dtype=np.float64).reshape(-1, 1 + len(THRESHOLDS))

    def measure(weights: Floats) -> dict[str, Floats]:
        means = ratio(weights @ held, weights.sum(axis=1, keepdims=True)).T
        return {"miou": means[0], **dict(zip(NAMES, means[1:], strict=True))}

    return measure


def _errors(pairs: Sequence[Pair]) -> Measure:
    errors_us = [
        p.predicted["at_us"] - p.truth["at_us"] for p in pairs if p.predicted is not None and p.truth is not None
    ]  # fmt: skip
    errors = np.array(errors_us, dtype=np.float64) / MICROSECONDS
    near = np.array([(abs(e) <= EARLY_TOLERANCE_US, e == 0) for e in errors_us], np.float64).reshape(-1, 2)

    def measure(weights: Floats) -> dict[str, Floats]:
        within, exact = ratio(weights @ near, weights.sum(axis=1, keepdims=True)).T
        found = boundary("onset", errors, weights)
        named = {name.removeprefix("onset_"): values for name, values in found.items()}
        return {**named, "within_half_second": within, "exact": exact}

    return measure


def _crash_start(record: Record) -> int | None:
    given = record[PRE_CRASH_LOCALIZATION].crash_start_us
    crash = record.get(CRASH_LOCALIZATION)
    if given is None and crash is not None and crash.truth is not None:
        return int(crash.truth["start_us"])
    return given
