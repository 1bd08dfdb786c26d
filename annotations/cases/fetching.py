"""The job "fetch": a clip's bytes from its address become the video's media, or a finding says why they do not."""

from typing import Any

from django.conf import settings
from django.db import transaction

from annotations.cases.arrivals import take_arrival
from annotations.cases.models import Case
from annotations.corpora.fetch.download import Failed, Refused, Rules
from annotations.corpora.fetch.services import (
    FAILED,
    REFUSED,
    clear_fetch,
    fetch_clip,
    note_fetch,
    usual_rules,
)
from annotations.corpora.importers.rows import VideoRow, shown
from annotations.corpora.models import Video
from crashdesk.api.errors import Problem
from crashdesk.jobs.models import Job
from crashdesk.jobs.running import Running


def fetch_work(running: Running, *, rules: Rules | None = None) -> dict[str, Any]:
    """Args {"video_id"}. Safe to start again: a video that has media is left alone.

    Trouble that may pass is tried again as often as any job; what is refused is not.
    """
    video = Video.objects.select_related("corpus").filter(pk=running.job.args["video_id"]).first()
    if video is None or video.media_id is not None or not video.url:
        return {"fetched": False}
    if not settings.FETCH_URLS:
        note_fetch(video.pk, REFUSED, "fetching is off (CRASHDESK_FETCH_URLS)", url=video.url)
        return {"fetched": False}
    try:
        stored = fetch_clip(
            video, rules=rules or usual_rules(),
            progress=lambda done, total: running.progress(done, total, f"fetching {shown(video.name)[-200:]}"),
        )  # fmt: skip
        running.check(fresh=True)
        newest = Case.objects.filter(video=video).select_related("guideline").order_by("-id").first()
        with transaction.atomic():
            row = VideoRow(
                file=shown(video.url), row=None, name=video.name, source=video.source, recording=video.recording,
                recording_origin=video.recording_origin, path=None,
            )  # fmt: skip
            take_arrival(
                row, stored, corpus=video.corpus, group=running.job.group, by=running.job.created_by,
                guideline=newest.guideline if newest else None,
            )  # fmt: skip
            clear_fetch(video.pk)
    except Refused as error:
        note_fetch(video.pk, REFUSED, str(error), url=video.url)
        return {"fetched": False, "reason": str(error)}
    except Failed as error:
        if error.again and running.job.attempts < settings.JOB_MAX_ATTEMPTS:
            raise
        note_fetch(video.pk, FAILED, str(error), url=video.url)
        return {"fetched": False, "reason": str(error)}
    except Problem as problem:
        if problem.code != "name_taken":
            raise
        note_fetch(video.pk, REFUSED, "the clip got other bytes meanwhile", url=video.url)
        return {"fetched": False, "reason": problem.message}
    return {"fetched": True, "sha256": stored.sha256, "bytes": stored.size}


def fetch_gave_up(job: Job) -> None:
    """The job failed for good or was cancelled: the video says so."""
    video = Video.objects.filter(pk=job.args["video_id"], media__isnull=True).first()
    if video is not None:
        lines = job.error.strip().splitlines()
        reason = lines[-1].strip() if lines else f"the job was {job.state}"
        note_fetch(video.pk, FAILED, f"{reason} (job {job.pk})", url=video.url)
