"""What Celery's beat wakes for gold cases."""

import logging

from celery import shared_task

from annotations.gold import services
from annotations.gold.queue import share_out_everywhere

logger = logging.getLogger(__name__)


@shared_task
def score_due() -> int:
    """Score the gold passes that a pull has missed; returns how many were looked at."""
    looked_at = services.score_due()
    if looked_at:
        logger.info("%s gold passes were scored late", looked_at)
    return looked_at


@shared_task
def share_out() -> int:
    """Give waiting cases to people where the corpus's plan says so; returns how many were given."""
    given = share_out_everywhere()
    if given:
        logger.info("%s cases were shared out", given)
    return given
