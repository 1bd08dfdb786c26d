"""Watching a running policy: what the audit has found so far, and stopping it when that, or the model, says so."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import numpy as np
from django.db import transaction
from django.db.models import Count, Max

from annotations.reviews.models import ReviewPlan
from model_assist.auto_approval.judging import judge
from model_assist.auto_approval.models import AUDITED, Evidence, Outcome, Policy, PolicyDecision, PolicyState
from model_assist.auto_approval.services import halt, out_of_date
from model_assist.auto_approval.watching import BOUND, Start, Verdict, series, watch

STALLED: Final = 10
"""Warn when, by the audit's share, so many audited cases should have come in since the last that counted."""


def start_of(policy: Policy) -> Start:
    """What the certificate brings along: its sample's cases and errors at or above the threshold."""
    certificate = policy.certificate
    passed = [look for look in certificate.looks if look["threshold"] == certificate.threshold]
    return Start(cases=passed[0]["cases"], wrong=passed[0]["wrong"], tries=certificate.tries)


def audited(policy: Policy) -> list[tuple[bool, bool]]:
    """(wrong, answered without a draft in view) of every settled audit case, in the order of settling."""
    rows = PolicyDecision.objects.filter(policy=policy, outcome__in=AUDITED, judged_at__isnull=False)
    return [
        (bool(wrong), bool(blind))
        for wrong, blind in rows.order_by("judged_at", "id").values_list("wrong", "blind")
    ]


def counted(policy: Policy, found: list[tuple[bool, bool]]) -> list[bool]:
    """Which of them count for the bound: with blind evidence those answered without a draft, else all."""
    return [blind or policy.evidence == Evidence.ANY for _, blind in found]


def verdict_of(policy: Policy) -> Verdict:
    """What the audit of a certified policy says now."""
    found = audited(policy)
    return watch(
        policy.promise, start_of(policy), [wrong for wrong, _ in found], counted=counted(policy, found),
        patience=policy.patience,
    )  # fmt: skip


@transaction.atomic
def halt_if_due(policy: Policy) -> bool:
    """Judge what people have settled since, and stop a running policy where it must: whether it was stopped.

    Because the model or its calibration changed, because the audited error's upper bound exceeds the limit, or because
    the error rate rose.
    """
    if policy.state != PolicyState.RUNNING:
        return False
    reason, detail = out_of_date(policy)
    if reason:
        return halt(policy=policy, reason=reason, detail=detail)
    judge(policy, policy.decisions.filter(outcome__in=AUDITED))
    verdict = verdict_of(policy)
    if not verdict.reason:
        return False
    return halt(
        policy=policy,
        reason=verdict.reason,
        detail=_words(policy, verdict),
        data={"verdict": asdict(verdict)},
    )


def _words(policy: Policy, verdict: Verdict) -> str:
    if verdict.reason == BOUND:
        return (
            f"{verdict.wrong} of {verdict.cases} audited cases were wrong, those of the certification included: the "
            f"error may be as high as {verdict.upper:.1%}, and the limit is {policy.max_error:.1%}"
        )
    return (
        f"after {verdict.seen} audited cases the evidence for an error rate above {policy.max_error:.1%} is "
        f"{verdict.evidence:,.0f}; the alarm rings at {policy.patience:,}"
    )


def approved_since(policy: Policy) -> int:
    """Cases it has approved since people settled the last audited case that counts for the bound, undone ones too."""
    approved = policy.decisions.filter(outcome=Outcome.APPROVED)
    settled = policy.decisions.filter(outcome__in=AUDITED, judged_at__isnull=False)
    if policy.evidence == Evidence.BLIND:
        settled = settled.filter(blind=True)
    last: datetime | None = settled.aggregate(last=Max("judged_at"))["last"]
    return (approved if last is None else approved.filter(decided_at__gt=last)).count()


def warning_of(policy: Policy, since: int) -> str:
    """Why the bound says little of what is approved now: its evidence does not grow. Empty where all is well."""
    if not since:
        return ""
    cases = "1 case" if since == 1 else f"{since:,} cases"
    told = (
        f"{cases} approved since the last audited case that counts for the bound was settled: the bound says nothing "
        "new of these, only the alarm hears what the audit finds."
    )
    if policy.evidence == Evidence.BLIND:
        plan = ReviewPlan.objects.filter(corpus=policy.corpus_id).order_by("-version").first()
        if plan is None or not plan.blind_share:
            return f"{told} Only the control arm counts, and the review plan's control arm (blind_share) is empty."
    return told if since * policy.audit_share >= STALLED else ""


def monitor(policy: Policy) -> dict[str, Any]:
    """Where the audit of a certified policy stands, and how it came there: see serializers.MonitorSerializer."""
    found, verdict, start = audited(policy), verdict_of(policy), start_of(policy)
    kept = [wrong for (wrong, _), counts in zip(found, counted(policy, found), strict=True) if counts]
    course = series(policy.promise, start, kept)
    since = approved_since(policy)
    outcomes = dict(policy.decisions.order_by().values_list("outcome").annotate(Count("pk")))
    return {
        "audited": len(found),
        "waiting": policy.decisions.filter(outcome__in=AUDITED, judged_at__isnull=True).count(),
        "counted": start.cases + len(kept), "wrong": start.wrong + sum(kept), "upper": float(course.upper[-1]),
        "upper_fixed": float(course.fixed[-1]), "limit": policy.max_error, "alarm": verdict.evidence,
        "rings_at": float(policy.patience), "outcomes": outcomes, "approved_since": since,
        "warning": warning_of(policy, since),
        "series": [
            {
                "cases": int(cases), "rate": None if np.isnan(rate) else float(rate), "upper": float(upper),
                "upper_fixed": float(fixed),
            }
            for cases, rate, upper, fixed in zip(course.cases, course.rate, course.upper, course.fixed, strict=True)
        ],
    }  # fmt: skip
