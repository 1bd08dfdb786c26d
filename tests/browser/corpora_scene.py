"""A corpus with all that its pages can show: findings, records, imports, uploads, a bucket, duplicates, an audit."""

import uuid
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from annotations.corpora.duplicates.services import create_cluster, remove_member
from annotations.corpora.models import (
    BucketSource,
    Corpus,
    DuplicateCluster,
    DuplicateMember,
    ImportFormat,
    ImportRejection,
    ImportRun,
    MediaState,
    SourceRecord,
    Upload,
    VideoFinding,
)
from annotations.corpora.services import start_import
from annotations.corpus_audit.auditing import audit_corpus
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from tests import factories


def enliven(corpus: Corpus, folder: Path, lead: User) -> list[str]:
    """Fill the corpus up; returns the addresses of its pages, each with much on it."""
    videos = list(corpus.videos.exclude(media=None).order_by("id"))
    first, second, third = videos[:3]
    unusable = factories.make_media(state=MediaState.UNUSABLE, proxy_name="", time_map=None)
    broken = factories.make_video(corpus, name="broken.mp4", media=unusable, split="train")
    for code, severity in (("corrupt", "error"), ("too_small", "warning"), ("variable_frame_rate", "info")):
        for video in (broken, first):
            VideoFinding.objects.create(
                video=video, code=code, severity=severity, message=f"{code}, in the test"
            )
    record = {"weather": "Snowy", "labels": [0] * 20}
    SourceRecord.objects.create(
        video=first, format=ImportFormat.CCD, file="Crash-1500.txt", row=17, record=record
    )
    done = _import(corpus, folder, lead)
    failed, job = start_import(corpus_name=corpus.name, format="folder", path=folder, by=lead)
    Job.objects.filter(pk=job.pk).update(
        state=JobState.FAILED, error="Traceback …\nOSError: gone", message="clip 3"
    )
    Upload.objects.create(
        corpus=corpus, name="half.mp4", size=9_000_000, offset=4_000_000, created_by=lead,
        expires_at=timezone.now() + timedelta(days=2),
    )  # fmt: skip
    BucketSource.objects.create(corpus=corpus, url="s3://clips/dashcam", synced_at=timezone.now())
    cluster = DuplicateCluster.objects.create()
    for video, evidence in (
        (first, {}),
        (second, {"nearest": first.pk, "similarity": 0.93, "shift_us": 500_000, "overlap_us": 1_000_000}),
        (broken, {"proposed": True, "nearest": first.pk, "similarity": 0.8}),
    ):
        DuplicateMember.objects.create(cluster=cluster, video=video, evidence=evidence)
    remove_member(cluster_id=cluster.pk, video_id=broken.pk, reason="another day", by=lead)
    other = create_cluster(video_ids=[third.pk, broken.pk], reason="", by=lead)
    result = {"to_merge": [[cluster.pk, other.pk]]}
    Job.objects.create(kind="cluster", queue="data", state=JobState.DONE, result=result)
    audit_corpus(corpus, by=lead)
    (folder / "clips.csv").write_text("clip,crash,start,end\none.mp4,yes,1,2\ntwo.mp4,maybe,3,2\n")
    return [
        "/corpora", f"/corpora/{corpus.pk}", f"/corpora/{corpus.pk}/videos", f"/corpora/{corpus.pk}/imports",
        f"/corpora/{corpus.pk}/import?format=table&path={folder / 'clips.csv'}", f"/corpora/{corpus.pk}/audit",
        f"/videos/{first.pk}", f"/videos/{broken.pk}", f"/imports/{done.pk}", f"/imports/{failed.pk}", "/duplicates",
        f"/duplicates/{cluster.pk}", "/duplicates/said",
    ]  # fmt: skip


def _import(corpus: Corpus, folder: Path, lead: User) -> ImportRun:
    """One that is read, with rejected rows, whose clips are still being probed."""
    run, job = start_import(corpus_name=corpus.name, format="folder", path=folder, by=lead)
    report = {
        "files": [{"file": "a.csv", "rows": 12}], "left_aside": ["notes.txt"], "left_aside_count": 1, "rows": {},
        "videos": {"new": 12, "known": 3, "lacking_media": 2}, "media": {"new": 10, "known": 0},
        "cases": {"new": 12, "known": 3}, "answers": {"new": 40, "known": 1, "new_absent": 2, "changed": 1},
        "rejected": 3, "findings": {"span_zero_length": 2},
    }  # fmt: skip
    ImportRun.objects.filter(pk=run.pk).update(report=report, finished_at=timezone.now())
    Job.objects.filter(pk=job.pk).update(state=JobState.DONE, progress_done=5, progress_total=5)
    for number in range(3):
        ImportRejection.objects.create(
            run=run, file="a.csv", row=number + 1, field="end", reason="is not a time"
        )
    Job.objects.create(kind="media", queue="media", group=f"import:{run.pk}", state=JobState.DONE)
    Job.objects.create(
        kind="media", queue="media", group=f"import:{run.pk}", state=JobState.RUNNING, token=uuid.uuid4(),
        lease_until=timezone.now() + timedelta(minutes=5),
    )  # fmt: skip
    return run
