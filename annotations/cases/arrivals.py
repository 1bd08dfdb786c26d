"""Clips that arrive one by one, from uploads, buckets or addresses: bytes become a video, its case, its media job."""

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.intake_batches import take_videos
from annotations.cases.intake_tally import Tally
from annotations.cases.kinds import Kind
from annotations.cases.models import Case, Guideline
from annotations.cases.services import ensure_guideline, settle_media
from annotations.corpora.importers.rows import VideoRow
from annotations.corpora.media_store import Stored
from annotations.corpora.models import Corpus, Upload, UploadState, Video
from annotations.corpora.uploads import services as uploads
from annotations.corpora.uploads.content import row_of
from annotations.corpora.uploads.partials import BytesLost
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.jobs.models import Job
from crashdesk.jobs.running import Running


@transaction.atomic
def guideline_of_corpus(corpus: Corpus, *, by: User | None) -> Guideline:
    """The newest guideline named like the corpus, made with the default prompts where there is none.

    Kinds that it has no prompt for get the default one, in a new version.
    """
    Corpus.objects.select_for_update(no_key=True).get(
        pk=corpus.pk
    )  # one new version, however many ask at once
    newest = Guideline.objects.filter(name=corpus.name).order_by("-version").first()
    held = {prompt.kind: prompt.text for prompt in newest.prompts.all()} if newest else {}
    prompts = {kind: held.get(kind, DEFAULT_PROMPTS[kind]) for kind in Kind.values}
    return ensure_guideline(name=corpus.name, prompts=prompts, by=by)


@transaction.atomic
def settle_other_cases(videos: Collection[Video], *, by: User | None) -> None:
    """Bring cases of these videos under other guidelines in line with media that have just come."""
    late = Case.objects.filter(video__in=videos, video__media__isnull=False, lacks_media=True)
    for case in late.select_related("video__media"):
        settle_media(case, by=by)


@transaction.atomic
def take_arrival(
    row: VideoRow,
    stored: Stored,
    *,
    corpus: Corpus,
    group: str,
    by: User | None,
    guideline: Guideline | None = None,
) -> Video:
    """The video of a clip whose bytes are in the store, with media, media job and case made where missing.

    Problem name_taken when the corpus holds other bytes under that name: then nothing is written.
    """
    cases = take_videos(
        [row], corpus=corpus, guideline=guideline or guideline_of_corpus(corpus, by=by),
        stored={row.name: stored}, tally=Tally(timezone.now()), group=group, by=by,
    )  # fmt: skip
    video = cases[row.name].video
    if differing({row.name: video}, {row.name: stored}):
        raise uploads.name_taken(row.name)
    settle_other_cases([video], by=by)
    return video


def differing(videos: Mapping[str, Video], stored: Mapping[str, Stored]) -> list[str]:
    """Names under which the corpus holds other bytes than these."""
    return [
        name
        for name, item in stored.items()
        if (media := videos[name].media) is not None and media.sha256 != item.sha256
    ]


def upload_work(running: Running) -> dict[str, Any]:
    """The job "upload": args {"upload_id"}. Makes a video of a complete upload; safe to start again."""
    upload = Upload.objects.select_related("corpus", "created_by").get(pk=running.job.args["upload_id"])
    if upload.state == UploadState.OPEN:
        if upload.offset < upload.size:
            return {"upload_id": str(upload.pk), "state": upload.state, "offset": upload.offset}
        _take_upload(upload, running)
        upload.refresh_from_db()
    uploads.discard(upload)
    return {"upload_id": str(upload.pk), "state": upload.state, "video_id": upload.video_id}


def _take_upload(upload: Upload, running: Running) -> None:
    """Store the bytes and make the video; an upload that cannot be one is refused, with the reason."""
    try:
        stored = uploads.store_bytes(
            upload, progress=lambda done: running.progress(done, upload.size, f"reading {upload.name}")
        )
        running.check(fresh=True)
        with transaction.atomic():
            video = take_arrival(
                row_of(upload.name, upload.metadata), stored, corpus=upload.corpus,
                group=uploads.group_of(upload), by=upload.created_by,
            )  # fmt: skip
            uploads.finish(upload, video=video)
    except BytesLost as error:
        uploads.refuse(upload, f"the server has lost bytes of this upload: {error}")
    except Problem as problem:
        if problem.code == "name_taken":
            uploads.refuse(upload, problem.message)
        elif problem.code != "upload_ended":
            raise


def upload_gave_up(job: Job) -> None:
    """The job failed for good or was cancelled: the upload says so, and can be tried again until it expires."""
    lines = job.error.strip().splitlines()
    reason = lines[-1].strip() if lines else f"the job was {job.state}"
    uploads.note_problem(job.args["upload_id"], f"{reason} (job {job.pk})")
