"""What Celery's beat wakes for corpora."""

import logging

from celery import shared_task

from annotations.corpora.uploads import services

logger = logging.getLogger(__name__)


@shared_task
def expire_uploads() -> int:
    """End uploads that nobody goes on with, and sweep what they left; returns how many ended."""
    ended = services.expire_uploads()
    if ended:
        logger.info("%s uploads expired", ended)
    return ended
