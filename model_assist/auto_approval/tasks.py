"""What Celery's beat wakes every minute: certify what is reviewed, stop what must stop, approve what is new."""

import logging

from celery import shared_task

from crashdesk.api.errors import Problem
from model_assist.auto_approval.deciding import open_audits, undecided
from model_assist.auto_approval.judging import judge
from model_assist.auto_approval.models import Policy, PolicyState
from model_assist.auto_approval.monitoring import halt_if_due
from model_assist.auto_approval.services import CERTIFY, RUN, enqueue

logger = logging.getLogger(__name__)


@shared_task
def look() -> int:
    """See to every policy that collects or runs; returns how many jobs that asks for. Safe to run twice at once."""
    alive = Policy.objects.filter(state__in=[PolicyState.COLLECTING, PolicyState.RUNNING]).order_by("pk")
    asked = 0
    for policy in alive.select_related("corpus", "guideline", "model_version", "certificate"):
        try:
            asked += _collecting(policy) if policy.state == PolicyState.COLLECTING else _running(policy)
        except Problem as problem:  # of this one: the others go on, and the next minute tries again
            logger.warning("policy %s: %s", policy.pk, problem.message)
    return asked


def _collecting(policy: Policy) -> int:
    """Certify by itself once people have settled the whole sample."""
    if policy.drawn_at is None:
        return 0
    judge(policy, policy.sample.all())
    if policy.sample.filter(wrong__isnull=True).exists():
        return 0
    enqueue(CERTIFY, policy, by=None)
    return 1


def _running(policy: Policy) -> int:
    if (
        halt_if_due(policy)
        or open_audits(policy) >= policy.most_open_audits
        or not undecided(policy).exists()
    ):
        return 0
    enqueue(RUN, policy, by=None)
    return 1
