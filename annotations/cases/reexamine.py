"""Examining a clip once more: what made it unusable may have been the machine, not the clip."""

from django.db import transaction

from annotations.cases.models import Case, CaseStatus
from annotations.cases.services import UNUSABLE_CLIP
from annotations.cases.workflow import move
from annotations.corpora.media_store import MEDIA_CODES
from annotations.corpora.models import Media, MediaState, Video, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue


@transaction.atomic
def examine_again(*, video: Video, by: User | None) -> Job:
    """Forget why a clip was unusable and queue its examination; its cases wait for the outcome.

    Problem where there is no clip, or where it is not unusable.
    """
    media = Media.objects.select_for_update(no_key=True).defer("time_map").filter(videos=video).first()
    if media is None:
        raise Problem("lacks_media", f"{video.name} has no clip to examine.")
    if not Media.objects.filter(pk=media.pk, state=MediaState.UNUSABLE).update(state=MediaState.PENDING):
        raise Problem(
            "media_not_unusable", f"{video.name} is {media.state}: only an unusable clip is examined again."
        )
    VideoFinding.objects.filter(video__media=media, code__in=MEDIA_CODES).delete()
    excluded = Case.objects.filter(
        video__media=media, status=CaseStatus.EXCLUDED, excluded_reason__startswith=UNUSABLE_CLIP
    )
    for case in excluded:
        move(case, CaseStatus.NEW, by=by)
    record(actor=by, verb="media.examined_again", subject=media)
    return enqueue(
        "media", {"media_id": media.pk}, by=by, group=f"media:{media.pk}", corpus_id=video.corpus_id
    )
