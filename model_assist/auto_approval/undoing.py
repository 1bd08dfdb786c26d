"""Giving back to people what a policy approved, case by case, each reported."""

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotations.reviews.by_policy import take_back
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from model_assist.auto_approval.models import Outcome, Policy, PolicyDecision


def undo(running: Running) -> dict[str, Any]:
    """The job. Every case that the policy approved and that was not given back yet; started again it goes on.

    The result counts; each decision says whether its case went back, and if not, why (a person may have it meanwhile).
    """
    args, by = running.job.args, running.job.created_by
    policy = Policy.objects.get(pk=args["policy"])
    waiting = policy.decisions.filter(outcome=Outcome.APPROVED, undone_at__isnull=True)
    ids = list(waiting.order_by("id").values_list("pk", flat=True))
    back = left = 0
    for number, pk in enumerate(ids, start=1):
        given_back = undo_one(pk, reason=args["reason"], by=by)
        back, left = back + given_back, left + (not given_back)
        running.progress(number, len(ids), f"{back} given back, {left} left alone")
    with transaction.atomic():
        data = {"given_back": back, "left_alone": left, "reason": args["reason"]}
        record(actor=by, verb="auto_approval.undone", subject=policy, data=data)
    return {"given_back": back, "left_alone": left}


@transaction.atomic
def undo_one(decision_id: int, *, reason: str, by: User | None) -> bool:
    """Give one case back; whether it was this policy's still."""
    decision = (
        PolicyDecision.objects.select_for_update(of=("self",)).select_related("case").get(pk=decision_id)
    )
    if decision.undone_at is not None:
        return True
    try:
        with transaction.atomic():
            take_back(case=decision.case, reason=f"policy undone: {reason}", by=by)
    except Problem as problem:
        decision.undo_problem = problem.message[:300]
        decision.save(update_fields=["undo_problem"])
        return False
    decision.undone_at, decision.undone_by, decision.undo_problem = timezone.now(), by, ""
    decision.save(update_fields=["undone_at", "undone_by", "undo_problem"])
    return True


def undone(policy: Policy) -> dict[str, int]:
    """How many of its approved cases went back, could not, and stand."""
    approved = policy.decisions.filter(outcome=Outcome.APPROVED)
    back = approved.filter(undone_at__isnull=False).count()
    left = approved.filter(Q(undone_at__isnull=True) & ~Q(undo_problem="")).count()
    return {"given_back": back, "left_alone": left, "standing": approved.count() - back}
