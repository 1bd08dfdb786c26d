"""The two Celery tasks behind every job: do one job of a queue, and look after the lost ones."""

import logging

from celery import shared_task

from crashdesk.jobs import services
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.registry import handler_for
from crashdesk.jobs.running import Cancelled, ClaimLost, Running
from crashdesk.jobs.wake import wake

logger = logging.getLogger(__name__)


@shared_task
def work(queue: str) -> None:
    """Do the next waiting job of the queue, then pass the wake-up on while more wait."""
    job = services.claim_next(queue)
    if job is None:
        return
    if Job.objects.filter(queue=queue, state=JobState.QUEUED).exists():
        wake(queue)
    perform(job)


def perform(job: Job) -> None:
    """Run a claimed job to one of its ends. Only the claim's holder may write the outcome."""
    try:
        with Running(job) as running:
            result = handler_for(job.kind).work()(running) or {}
        if not services.finish(job, result):
            logger.warning(
                "job %s (%s): finished after its lease was lost; outcome left alone", job.pk, job.kind
            )
    except Cancelled:
        services.stop_cancelled(job)
    except ClaimLost:
        logger.warning("job %s (%s): lease lost, left to its new holder", job.pk, job.kind)
    except Exception as error:  # the boundary: any failure of the work is recorded on its job
        logger.exception("job %s (%s) failed in attempt %s", job.pk, job.kind, job.attempts)
        services.fail(job, error)


@shared_task
def tick() -> None:
    """Every two seconds: revive jobs of dead workers, and wake queues whose message was lost."""
    services.revive_expired()
    services.wake_waiting()
