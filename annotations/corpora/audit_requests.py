"""Asking for the corpus audit. The room that does it lies above this one, so it is asked by its job's name."""

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q

from annotations.corpora.media_store import PROCESSING_FAILED
from annotations.corpora.models import Corpus, Media, MediaState, Video, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue_once


def request_audit(corpus_id: int, *, by: User | None) -> Job:
    """The audit job that waits for this corpus, queued when there is none."""
    return enqueue_once("audit", {"corpus_id": corpus_id}, by=by, group=f"audit:{corpus_id}")


def audit_examined_corpora(media: Media) -> list[Job]:
    """Ask for an audit of each corpus that shows this media, once none of its clips waits to be examined."""
    shown = Video.objects.filter(corpus=OuterRef("pk"), media=media)
    given_up = VideoFinding.objects.filter(video=OuterRef("pk"), code=PROCESSING_FAILED)
    waiting = Video.objects.filter(~Exists(given_up), corpus=OuterRef("pk"), media__state=MediaState.PENDING)
    examined = Corpus.objects.filter(Exists(shown), ~Exists(waiting))
    return [request_audit(pk, by=None) for pk in examined.values_list("pk", flat=True)]


def audit_clustered_corpora(
    cluster_ids: Collection[int], video_ids: Collection[int], *, by: User | None
) -> list[Job]:
    """Ask for an audit of each corpus with a video in these clusters, or among these videos, which have left one."""
    in_them = Q(duplicate_member__cluster__in=cluster_ids) | Q(pk__in=video_ids)
    corpora = (
        Video.objects.filter(in_them).order_by("corpus_id").values_list("corpus_id", flat=True).distinct()
    )
    return [request_audit(pk, by=by) for pk in corpora]
