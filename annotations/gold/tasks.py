"""What Celery's beat wakes for gold cases."""

import logging

from celery import shared_task

from annotations.gold import services

logger = logging.getLogger(__name__)


@shared_task
def score_due() -> int:
    """Score the gold passes that a pull has missed; returns how many were looked at."""
    looked_at = services.score_due()
    if looked_at:
        logger.info("%s gold passes were scored late", looked_at)
    return looked_at
