"""Telling workers that a queue has work. Losing this message is harmless: the tick sends it again."""

from celery import current_app

EXPIRES_SECONDS = 60


def wake(queue: str) -> None:
    """Send one wake-up to a queue; it expires unread when no worker of that queue is alive."""
    current_app.send_task("crashdesk.jobs.tasks.work", args=[queue], queue=queue, expires=EXPIRES_SECONDS)
