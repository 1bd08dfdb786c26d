"""Writing down what a browser tells of somebody's activity."""

import time
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from django.db import transaction

from annotations.cases.models import Case
from annotations.corpora.access import require
from annotations.effort.models import Activity, Place
from annotations.reviews.assignments import keep
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem

MOST_MOMENTS: Final = 3600
OLDEST_MS: Final = 24 * 3600 * 1000
COUNTS: Final = ("pointer", "keys", "typed", "player")


@transaction.atomic
def note_activity(
    *,
    case: Case,
    by: User,
    batch: UUID,
    place: Place,
    moments_ms: Sequence[int],
    browser_now_ms: int,
    counts: Mapping[str, int],
) -> int:
    """Keep a batch of moments; how many were kept, 0 where it is known already.

    Moments and `browser_now_ms` are by the browser's clock, which may be wrong: what lies between the two is taken off
    the server's. Moments later than that, or older than a day, are left out. Problem not_found, not_allowed.
    What is reserved for the person stays theirs while they are active in it (annotations.reviews.assignments.keep).
    No audit row: these are measurements, and there are thousands a day.
    """
    require(by, Action.REVIEW, case.corpus_id)
    if len(moments_ms) > MOST_MOMENTS:
        raise Problem(
            "too_many_moments", f"At most {MOST_MOMENTS} moments in one batch.",
            fields={"at": [f"at most {MOST_MOMENTS}"]}, status=400,
        )  # fmt: skip
    ages = sorted({browser_now_ms - moment for moment in moments_ms}, reverse=True)
    now_us = time.time_ns() // 1000
    moments = [now_us - 1000 * age for age in ages if 0 <= age <= OLDEST_MS]
    if not moments:
        return 0
    held = {
        "case": case, "place": place, "moments_us": moments, "first_us": moments[0], "last_us": moments[-1],
        **{name: counts.get(name, 0) for name in COUNTS},
    }  # fmt: skip
    _, new = Activity.objects.get_or_create(person=by, batch=batch, defaults=held)
    if new:
        keep(person=by, case=case)
    return len(moments) if new else 0
