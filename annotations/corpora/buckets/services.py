"""Buckets that corpora follow, and the start of their syncs. The sync itself is annotations.cases.bucket_sync."""

from collections.abc import Collection, Iterable
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction

from annotations.corpora.access import require
from annotations.corpora.buckets.location import BucketLocation, allowed_location
from annotations.corpora.buckets.reading import Bucket
from annotations.corpora.models import (
    BucketObject,
    BucketSource,
    Corpus,
    ImportFormat,
    ImportRun,
    Severity,
    VideoFinding,
)
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue

JOB: Final = "bucket_sync"
GONE: Final = "gone_from_bucket"


def location_of(source: BucketSource) -> BucketLocation:
    """Where a source is, if it may still be read; Problem otherwise."""
    return allowed_location(source.url, roots=settings.BUCKET_ROOTS)


def add_bucket(*, corpus: Corpus, url: str, by: User | None) -> BucketSource:
    """Let a corpus follow a bucket. Problem when it is not allowed, cannot be listed, or is followed already."""
    require(by, Action.IMPORT, corpus)
    location = allowed_location(url, roots=settings.BUCKET_ROOTS)
    Bucket(location).check()
    return _add(corpus, location, by)


@transaction.atomic
def _add(corpus: Corpus, location: BucketLocation, by: User | None) -> BucketSource:
    try:
        with transaction.atomic():
            source = BucketSource.objects.create(corpus=corpus, url=location.url, created_by=by)
    except IntegrityError as error:
        raise Problem(
            "bucket_known", f"{corpus.name} follows {location.url} already.", fields={"url": ["is known"]}
        ) from error
    record(actor=by, verb="bucket.added", subject=source, data={"corpus": corpus.name, "url": source.url})
    return source


@transaction.atomic
def begin_sync(*, source: BucketSource, by: User | None) -> ImportRun:
    """Note a coming sync. Problem when the bucket may not be read any more."""
    require(by, Action.IMPORT, source.corpus_id)
    location_of(source)
    run = ImportRun.objects.create(
        corpus=source.corpus, format=ImportFormat.BUCKET, path=source.url,
        options={"bucket_source_id": source.pk}, created_by=by,
    )  # fmt: skip
    data = {"corpus": source.corpus.name, "format": run.format, "path": run.path}
    record(actor=by, verb="import.started", subject=run, data=data)
    return run


@transaction.atomic
def start_sync(*, source_id: int, by: User | None) -> tuple[ImportRun, Job]:
    """Queue a sync. Problem sync_running when one waits or runs already."""
    source = BucketSource.objects.select_related("corpus").select_for_update(of=("self",)).get(pk=source_id)
    runs = ImportRun.objects.filter(
        format=ImportFormat.BUCKET, options__bucket_source_id=source.pk, job_id__isnull=False
    )
    busy = Job.objects.filter(
        kind=JOB, state__in=[JobState.QUEUED, JobState.RUNNING], pk__in=runs.values("job_id")
    ).first()
    if busy is not None:
        raise Problem("sync_running", f"Job {busy.pk} is syncing this bucket already.")
    run = begin_sync(source=source, by=by)
    job = enqueue(JOB, {"import_run_id": run.pk}, by=by, group=f"import:{run.pk}", corpus_id=run.corpus_id)
    ImportRun.objects.filter(pk=run.pk).update(job_id=job.pk)
    run.job_id = job.pk
    return run, job


@transaction.atomic
def remember(source: BucketSource, objects: Iterable[BucketObject]) -> None:
    """Note how objects were when they were read, so that they are not read again until they change."""
    for item in objects:
        item.source = source
    BucketObject.objects.bulk_create(
        list(objects), update_conflicts=True, unique_fields=["source", "key"],
        update_fields=["etag", "size", "modified_at", "video", "read_at"],
    )  # fmt: skip


@transaction.atomic
def note_gone(source: BucketSource, seen: Collection[int]) -> list[str]:
    """Name the videos whose objects a full listing did not show, and unname those that are back; returns the keys.

    `seen`: ids of the BucketObject rows that it did show. Nothing is deleted but findings.
    """
    gone: list[str] = []
    findings = []
    for item in source.objects_seen.order_by("key").iterator():
        if item.pk in seen:
            continue
        gone.append(item.key)
        if item.video_id is not None:
            findings.append(
                VideoFinding(
                    video_id=item.video_id, code=GONE, severity=Severity.INFO,
                    message=f"{item.key} is no longer in the bucket; the stored clip stays"[:500],
                    data={"bucket_source": source.pk, "key": item.key},
                )
            )  # fmt: skip
    told = VideoFinding.objects.filter(code=GONE, data__bucket_source=source.pk)
    told.exclude(video__in=[finding.video_id for finding in findings]).delete()
    VideoFinding.objects.bulk_create(findings, ignore_conflicts=True, batch_size=1000)
    return gone
