"""Whether anybody works on the model's queue, as far as that can be known."""

from typing import Final

from celery import current_app
from django.core.cache import cache
from django.utils import timezone
from kombu.exceptions import OperationalError

from crashdesk.jobs.models import Job, JobState

QUEUE: Final = "gpu"
ANSWER_SECONDS: Final = 0.7
KEPT_SECONDS: Final = 15
_KEY: Final = "crashdesk.predictions.listening"


def somebody_listens() -> bool:
    """True when a job of the queue is being worked on, or a worker answers that it reads the queue.

    Asking takes up to ANSWER_SECONDS; the answer is kept for a while. False means that nobody answered: a worker that
    is cut off from the broker, or too busy to speak, is not seen.
    """
    if Job.objects.filter(queue=QUEUE, state=JobState.RUNNING, lease_until__gt=timezone.now()).exists():
        return True
    kept = cache.get(_KEY)
    if kept is None:
        kept = _ask()
        cache.set(_KEY, kept, KEPT_SECONDS)
    return bool(kept)


def _ask() -> bool:
    try:
        replies = current_app.control.inspect(timeout=ANSWER_SECONDS).active_queues() or {}
    except (OperationalError, OSError):  # the broker does not answer, so nobody can be told of work either
        return False
    return any(queue["name"] == QUEUE for queues in replies.values() for queue in queues)
