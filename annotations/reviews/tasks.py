"""What Celery's beat wakes for reviews."""

import logging

from celery import shared_task

from annotations.reviews.assignments import expire_due, release_moot

logger = logging.getLogger(__name__)


@shared_task
def expire_assignments() -> int:
    """End reservations whose time is over and release what nobody needs any more; returns how many ended."""
    expired, moot = expire_due(), release_moot()
    if expired or moot:
        logger.info("%s reservations expired, %s assignments released as settled", expired, moot)
    return expired + moot
