"""Whether a running policy may go on, case by case as the audit comes in. Plain Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from model_assist.auto_approval.bounds import Alarm, anytime, clopper_pearson
from model_assist.auto_approval.certification import Promise

BOUND: Final = "bound_exceeds_limit"
DRIFT: Final = "error_rate_rose"


@dataclass(frozen=True)
class Start:
    """What certification left: cases and errors of its sample at or above the threshold, and how many it tried."""

    cases: int
    wrong: int
    tries: int


@dataclass(frozen=True)
class Verdict:
    """After so many audited cases. upper: the bound that the policy is held to; reason: empty while it may go on.

    evidence: of the alarm, which rings at its patience. seen: how many cases had been audited when it had to stop.
    """

    cases: int
    wrong: int
    upper: float
    evidence: float
    reason: str
    seen: int


def watch(
    promise: Promise,
    start: Start,
    audited: Sequence[bool],
    *,
    counted: Sequence[bool] | None = None,
    patience: float,
) -> Verdict:
    """Go through the audited cases in their order: was each wrong? Stops at the first at which the policy must stop.

    Two rules, whichever comes first. The upper bound of the error rate, over the certification's sample and the audit
    together, exceeds the limit: the promise can no longer be given. The alarm rings: of late there are more errors than
    the limit allows, even where many good cases of before still keep the bound low.
    counted: which of the cases count for the bound (default: all), e.g. only those answered without a draft in view;
    the alarm hears all of them.
    """
    use = np.ones(len(audited), bool) if counted is None else np.asarray(counted, bool)
    errors = np.asarray(audited, bool)
    totals = start.cases + np.concatenate([[0], np.cumsum(use)])
    wrongs = start.wrong + np.concatenate([[0], np.cumsum(use & errors)])
    alarm = Alarm(promise.limit, patience=patience)
    rang = alarm.see_all(errors.tolist())
    bad = (errors & use)[:rang]
    looks = [0, *(np.flatnonzero(bad) + 1).tolist()]  # the bound rises with errors alone
    uppers = anytime(wrongs[looks], totals[looks], confidence=promise.confidence, tries=start.tries)
    beyond = [look for look, upper in zip(looks, uppers, strict=True) if upper > promise.limit]
    first = min([at for at in (beyond[0] if beyond else None, rang) if at is not None], default=None)
    at = len(errors) if first is None else first
    reason = "" if first is None else (BOUND if beyond and beyond[0] == first else DRIFT)
    return Verdict(
        cases=int(totals[at]), wrong=int(wrongs[at]), reason=reason, seen=at, evidence=alarm.evidence,
        upper=float(anytime(int(wrongs[at]), int(totals[at]), confidence=promise.confidence, tries=start.tries)),
    )  # fmt: skip


@dataclass(frozen=True)
class Series:
    """Both bounds after each audited case, for a picture. fixed: Clopper-Pearson; upper: holds at all times."""

    cases: NDArray[np.int64]
    rate: NDArray[np.float64]
    fixed: NDArray[np.float64]
    upper: NDArray[np.float64]


def series(promise: Promise, start: Start, audited: Sequence[bool], *, most: int = 200) -> Series:
    """At most `most` moments, evenly spread over the audited cases, from before the first to after the last."""
    places = np.unique(np.linspace(0, len(audited), min(most, len(audited) + 1)).round().astype(np.int64))
    wrongs = start.wrong + np.concatenate([[0], np.cumsum(np.asarray(audited, bool))])[places]
    totals = start.cases + places
    with np.errstate(invalid="ignore"):
        rate = np.where(totals > 0, wrongs / np.maximum(totals, 1), np.nan)
    return Series(
        places, rate, clopper_pearson(wrongs, totals, confidence=promise.confidence),
        anytime(wrongs, totals, confidence=promise.confidence, tries=start.tries),
    )  # fmt: skip
