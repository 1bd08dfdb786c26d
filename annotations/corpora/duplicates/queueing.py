"""Asking for fingerprints and searches, and the lock that all writers of clusters share. Light: the web loads this."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Max

from annotations.corpora.duplicates import METHOD
from annotations.corpora.models import Fingerprint, MediaState, Video
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue_many, enqueue_once

_LOCK: Final = "crashdesk.duplicates"
_UNSEEN: Final = timedelta(minutes=10)
"""How long before a search began a fingerprint may have been made that it did not see yet."""


@transaction.atomic
def enqueue_fingerprints(media_ids: Collection[int], *, by: User | None, group: str = "") -> list[Job]:
    """Queue a job "fingerprint" for each of these media that has none of today's method. They run in queue media."""
    known = Fingerprint.objects.filter(media__in=media_ids, method=METHOD).values_list("media_id", flat=True)
    missing = sorted(set(media_ids) - set(known))
    return enqueue_many(
        "fingerprint", [{"media_id": media_id} for media_id in missing], by=by, group=group, priority=1
    )


def missing_media(corpus_id: int | None = None) -> list[int]:
    """Ids of ready media, of one corpus or of all, that have no fingerprint of today's method."""
    shown = Video.objects.filter(media__state=MediaState.READY)
    if corpus_id is not None:
        shown = shown.filter(corpus=corpus_id)
    ids = shown.exclude(media__fingerprint__method=METHOD).values_list("media_id", flat=True)
    return sorted({media_id for media_id in ids if media_id is not None})


def start_search(*, corpus_id: int | None, by: User | None) -> Job:
    """Queue a search for the near duplicates of a corpus's videos, or of all; the one that waits already, if any."""
    return enqueue_once("cluster", {"corpus_id": corpus_id, "new_only": False}, by=by, group="duplicates")


def search_new_when_made() -> Job | None:
    """Once no fingerprint waits to be made: queue a search for what the clips with new ones duplicate."""
    if Job.objects.filter(kind="fingerprint", state=JobState.QUEUED).exists():
        return None
    return enqueue_once("cluster", {"corpus_id": None, "new_only": True}, by=None, group="duplicates")


def searched_until() -> datetime | None:
    """All fingerprints made before then have been compared with all; None before the first such search."""
    searches = Job.objects.filter(kind="cluster", state=JobState.DONE, args__corpus_id=None)
    began: datetime | None = searches.aggregate(Max("started_at"))["started_at__max"]
    return began - _UNSEEN if began is not None else None


def lock_clusters() -> None:
    """Wait for whoever else changes clusters, on any machine; held to the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
