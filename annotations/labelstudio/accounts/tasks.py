"""What Celery's beat wakes now and then, so that Label Studio's members follow CrashDesk's people."""

import logging

from celery import shared_task

from annotations.labelstudio.accounts.models import Member
from annotations.labelstudio.client import client
from annotations.labelstudio.people import follow_people
from annotations.labelstudio.sessions import forget_old_sessions
from crashdesk.api.errors import Problem

logger = logging.getLogger(__name__)


@shared_task
def follow() -> int:
    """Names, departures and old sessions; returns how many accounts were changed."""
    forget_old_sessions()
    if not Member.objects.filter(removed_at__isnull=True).exists():
        return 0
    try:
        done = follow_people(client=client())
    except (
        Problem
    ) as problem:  # down or refusing: the guard keeps people out meanwhile, the next run tries again
        logger.warning("Label Studio's members not brought in line: %s", problem.message)
        return 0
    return sum(done.values())
