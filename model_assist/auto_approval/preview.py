"""What a policy would do, before there is one: who would be approved, how wrong that may be, what it would save.

None of it is a promise: thresholds are compared here with errors in view, on cases that the calibrations may have seen
and that were not drawn at random. Certification draws its own sample, of cases that nobody has settled: no preview has
shown their errors.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

import numpy as np
from django.db.models import QuerySet
from numpy.typing import NDArray

from annotations.cases.models import ApprovedAnswer, Case, CaseStatus, Guideline
from annotations.corpora.models import Corpus
from annotations.effort.ledger import Arm, Asked, entries
from crashdesk.jobs.running import Running
from model_assist.auto_approval.bounds import clopper_pearson
from model_assist.auto_approval.candidates import ANSWERED, Setup, load
from model_assist.auto_approval.certification import Promise, needed
from model_assist.auto_approval.errors import rules_of, wrong_kinds
from model_assist.auto_approval.judging import settled
from model_assist.auto_approval.services import calibrations_for, sample_size_for
from model_assist.registry.models import ModelVersion

SHARES: Final = tuple(part / 10 for part in range(1, 11))
LIMITS: Final = (0.01, 0.02, 0.03, 0.05, 0.1)
CHUNK: Final = 1000
MOST_REASONS: Final = 12
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Known:
    """Sure cases that people have settled. score, wrong, blind [n]."""

    score: Floats
    wrong: Bools
    blind: Bools


def run(running: Running) -> dict[str, Any]:
    """The job. args: corpus, guideline, model_version, error_rules, max_error, confidence, certify_at, audit_share."""
    args = running.job.args
    version = ModelVersion.objects.get(pk=args["model_version"])
    setup = Setup(
        corpus=Corpus.objects.get(pk=args["corpus"]),
        guideline=Guideline.objects.get(pk=args["guideline"]),
        model_version=version, kinds=frozenset(args["error_rules"]),
        calibrations=calibrations_for(version, args["error_rules"]),
    )  # fmt: skip
    ids = list(_cases(setup).order_by("pk").values_list("pk", flat=True))
    scores: list[float] = []
    waiting: list[bool] = []
    sure: dict[int, tuple[float, Mapping[str, Any]]] = {}
    refused: Counter[str] = Counter()
    for number, one in enumerate(load(setup, ids), start=1):
        if one.refused or one.score is None:
            refused[one.refused] += 1
        else:
            scores.append(one.score)
            waiting.append(one.status == CaseStatus.PREDICTED)
            if one.status == CaseStatus.APPROVED:
                sure[one.case_id] = (one.score, one.said)
        running.progress(number, len(ids), f"{len(scores)} of {number} cases could be approved unseen")
    promise = Promise(args["max_error"], args["confidence"], args["certify_at"])
    known = _known(sure, args["error_rules"])
    held = np.array(scores, np.float64)
    return {
        "answered": len(ids), "sure": len(scores), "waiting": int(np.sum(waiting)),
        "refused": [{"why": why, "cases": count} for why, count in refused.most_common(MOST_REASONS)],
        "active_time": active_time(setup.corpus),
        "shares": shares(
            held, np.array(waiting, bool), known, confidence=promise.confidence, audit=args["audit_share"]
        ),
        "needed": needed_table(promise), "settled": len(known.wrong),
    }  # fmt: skip


def _cases(setup: Setup) -> QuerySet[Case]:
    cases = Case.objects.filter(corpus=setup.corpus, guideline=setup.guideline, status__in=ANSWERED)
    unseen = ApprovedAnswer.objects.exclude(policy="")
    said = {"answers__author_kind": "model", "answers__model_version": setup.model_version.name}
    return cases.filter(**said).exclude(pk__in=unseen.values("case")).distinct()


def _known(sure: Mapping[int, tuple[float, Mapping[str, Any]]], error_rules: Mapping[str, Any]) -> Known:
    rules, ids = rules_of(error_rules), sorted(sure)
    found: list[tuple[float, bool, bool]] = []
    for start in range(0, len(ids), CHUNK):
        true, unblind = settled(ids[start : start + CHUNK])
        for case_id in sorted(true):
            score, said = sure[case_id]
            wrong = bool(wrong_kinds(rules, said=said, true=true[case_id]))
            found.append((score, wrong, case_id not in unblind))
    table = np.array(found, np.float64).reshape(-1, 3)
    return Known(table[:, 0], table[:, 1].astype(bool), table[:, 2].astype(bool))


def shares(
    scores: Floats, waiting: Bools, known: Known, *, confidence: float, audit: float
) -> list[dict[str, Any]]:
    """A row per tenth of the sure cases, the surest first: the threshold, how many wait now and would be approved, the
    error that the calibrations expect, and the errors among those people have settled, with the upper bound
    (Clopper-Pearson) of all and of those answered without a draft in view."""
    rows: list[dict[str, Any]] = []
    order = np.sort(scores)[::-1]
    for share in SHARES if len(order) else ():
        threshold = float(order[max(1, round(share * len(order))) - 1])
        above, seen = scores >= threshold, known.score >= threshold
        rows.append(
            {
                "share": share, "threshold": threshold, "cases": int(above.sum()),
                "would_approve": round(float((above & waiting).sum()) * (1 - audit)),
                "expected_error": float(np.mean(1 - scores[above])),
                "all": _count(known.wrong[seen], confidence),
                "blind": _count(known.wrong[seen & known.blind], confidence),
            }
        )  # fmt: skip
    return rows


def _count(wrong: Bools, confidence: float) -> dict[str, Any]:
    cases, errors = len(wrong), int(wrong.sum())
    return {
        "cases": cases,
        "wrong": errors,
        "upper": float(clopper_pearson(errors, cases, confidence=confidence)),
    }


def needed_table(promise: Promise) -> list[dict[str, Any]]:
    """What other limits would cost: cases to review above a threshold with 0, 1 and 3 errors, and the usual sample."""
    rows = []
    for limit in sorted({*LIMITS, promise.limit}):
        other = Promise(limit, promise.confidence, promise.certify_at)
        cases = [needed(other, attempt=1, wrong=wrong) for wrong in (0, 1, 3)]
        rows.append(
            {
                "limit": limit, "no_error": cases[0], "one_error": cases[1], "three_errors": cases[2],
                "usual_sample": sample_size_for(other), "asked": limit == promise.limit,
            }
        )  # fmt: skip
    return rows


def active_time(corpus: Corpus) -> dict[str, Any]:
    """What a review of a case with a draft in view takes people here: {"reviews": how many were measured,
    "mean_seconds": of their active time, None without any}.

    Active: by annotations.effort, idle time cut out; the tool's lead time counts nowhere. First looks alone: second
    looks, adjudications and known cases are other work.
    """
    ledger = entries(Asked(corpus=corpus.pk))
    active = [one.active_us / 1e6 for one in ledger if one.arm == Arm.MODEL and one.active_us is not None]
    return {"reviews": len(active), "mean_seconds": fmean(active) if active else None}
