"""The job "media": examine a clip, then bring its cases in line."""

from typing import Any

from annotations.cases.services import settle_media_of
from annotations.corpora.audit_requests import audit_examined_corpora
from annotations.corpora.duplicates.queueing import enqueue_fingerprints
from annotations.corpora.media_store import note_processing_failed
from annotations.corpora.models import MediaState
from annotations.corpora.services import process_media
from crashdesk.jobs.models import Job
from crashdesk.jobs.running import Running


def media_work(running: Running) -> dict[str, Any]:
    """Args {"media_id"}. Safe to start again: what is examined is not examined twice, what is settled stays.

    A reader that was stopped or died gets a second try before that is a finding. Once the outcome is written the
    cases follow it, even where the job was cancelled or lost its claim meanwhile.
    """
    media = process_media(running.job.args["media_id"], last_try=running.job.attempts > 1)
    settle_media_of(media, by=None)
    audit_examined_corpora(media)
    if media.state == MediaState.READY:
        enqueue_fingerprints([media.pk], by=None)
    return {"media_id": media.pk, "state": media.state}


def media_gave_up(job: Job) -> None:
    """The job failed for good or was cancelled: the clip's videos say so, and a later import queues it again.

    Where it ended after the examination, the cases are brought in line after all.
    """
    media = note_processing_failed(job.args["media_id"], job)
    if media is None:
        return
    if media.state != MediaState.PENDING:
        settle_media_of(media, by=None)
    audit_examined_corpora(media)
