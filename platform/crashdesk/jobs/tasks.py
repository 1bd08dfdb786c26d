"""The two Celery tasks behind every job: do the next work of a queue, and look after the lost ones."""

import logging

from celery import shared_task

from crashdesk.jobs import services
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.registry import handler_for
from crashdesk.jobs.running import Running, patiently, settle
from crashdesk.jobs.together import Together
from crashdesk.jobs.wake import wake

logger = logging.getLogger(__name__)


@shared_task
def work(queue: str) -> None:
    """Do the next waiting job of the queue, then pass the wake-up on while more wait."""
    job = services.claim_next(queue)
    if job is None:
        return
    _pass_on(queue)
    perform(job)
    if handler_for(job.kind).together:  # a long shift: the message passed on at its start may have expired
        _pass_on(queue)


def _pass_on(queue: str) -> None:
    if Job.objects.filter(queue=queue, state=JobState.QUEUED).exists():
        wake(queue)


def perform(job: Job) -> None:
    """Run a claimed job to one of its ends, and others of its group along with it when they are done together."""
    if handler_for(job.kind).together:
        _perform_together(job)
    else:
        settle(job, lambda: _perform(job))


def _perform(job: Job) -> None:
    with Running(job) as running:
        result = handler_for(job.kind).work()(running) or {}
    if not patiently(lambda: services.finish(job, result)):
        logger.warning("job %s (%s): finished after its lease was lost; outcome left alone", job.pk, job.kind)


def _perform_together(first: Job) -> None:
    try:
        with Together(first) as together:
            handler_for(first.kind).work_together()(together)
    except Exception:  # the boundary: recorded on the jobs that were begun, or left to their leases
        logger.exception("%s: the shift failed", first.group or first.kind)


@shared_task
def tick() -> None:
    """Every two seconds: revive jobs of dead workers, and wake queues whose message was lost."""
    services.revive_expired()
    services.wake_waiting()
