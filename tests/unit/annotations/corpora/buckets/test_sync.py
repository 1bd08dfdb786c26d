"""Syncs against a local S3-compatible server, with every GET counted."""

import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings
from rest_framework.test import APIClient

from annotations.cases import bucket_sync
from annotations.cases.bucket_sync import SyncBusy, run_sync
from annotations.cases.models import Case
from annotations.corpora.buckets.reading import Bucket, Interrupted
from annotations.corpora.buckets.services import GONE, add_bucket, begin_sync, location_of
from annotations.corpora.models import (
    BucketObject,
    BucketSource,
    Corpus,
    ImportRun,
    Media,
    Video,
    VideoFinding,
)
from annotations.corpora.uploads.locks import only_sync
from crashdesk.accounts.models import User
from crashdesk.jobs import services as jobs
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.running import Running
from crashdesk.jobs.tasks import perform
from tests.factories import make_corpus, make_video
from tests.unit.annotations.corpora.s3 import BUCKET, S3Server, s3_server, use_as_store

pytestmark = [pytest.mark.services, pytest.mark.django_db]


@pytest.fixture
def s3(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    with s3_server(monkeypatch) as server:
        settings.BUCKET_ROOTS = [f"s3://{BUCKET}?endpoint={server.endpoint}&region=us-east-1"]
        yield server


@pytest.fixture
def source(s3: S3Server) -> BucketSource:
    return add_bucket(corpus=make_corpus("my clips"), url=f"s3://{BUCKET}/in", by=None)


def quiet(done: int, total: int | None, message: str) -> None:
    pass


def sync(source: BucketSource, **more: Any) -> dict[str, Any]:
    return run_sync(begin_sync(source=source, by=None).pk, progress=quiet, **more)


def rejections() -> list[tuple[str, str]]:
    return list(ImportRun.objects.latest("id").rejections.values_list("file", "reason"))


def test_a_bucket_becomes_videos_and_an_unchanged_one_is_not_read_again(
    s3: S3Server, source: BucketSource, media_root: Path
) -> None:
    for number in range(7):
        s3.put(f"in/day {number % 2}/clip {number}.mp4", b"clip %d" % number)
    s3.put("in/notes.txt", b"left aside")
    s3.put("in/.hidden.mp4", b"left aside")
    s3.put("in/day 1/", b"")
    s3.put("inside.mp4", b"not below the folder")
    s3.asked.clear()
    report = sync(source, page_size=3)
    assert s3.asked["GetObject"] == 7
    assert s3.asked["ListObjectsV2"] == 4
    assert report["videos"] == {"new": 7, "known": 0, "lacking_media": 0}
    assert report["cases"] == {"new": 7, "known": 0}
    assert report["bucket"] == {
        "id": source.pk, "url": source.url, "objects": 10, "unchanged": 0, "read": 7, "read_bytes": 42,
        "gone": [], "gone_count": 0,
    }  # fmt: skip
    assert sorted(report["left_aside"]) == [".hidden.mp4", "notes.txt"]
    assert report["rejected"] == 0
    assert report["guideline"]["name"] == "my clips"
    video = Video.objects.get(name="day 1/clip 3.mp4")
    assert (video.source, video.recording, video.recording_origin) == ("day 1", "clip 3", "name")
    assert video.media is not None
    assert video.media.sha256 == hashlib.sha256(b"clip 3").hexdigest()
    assert (media_root / video.media.storage_name).read_bytes() == b"clip 3"
    assert Case.objects.filter(corpus=source.corpus).count() == 7
    assert Job.objects.filter(kind="media").count() == 7
    assert list((media_root / "incoming").iterdir()) == []
    source.refresh_from_db()
    assert source.synced_at is not None

    s3.asked.clear()
    again = sync(source, page_size=3)
    assert s3.asked["GetObject"] == s3.asked["HeadObject"] == 0
    assert (again["bucket"]["unchanged"], again["bucket"]["read"]) == (7, 0)
    assert Job.objects.get(kind="audit").args == {"corpus_id": source.corpus_id}
    assert again["videos"]["new"] == 0
    assert Video.objects.count() == 7


def test_only_new_and_changed_objects_are_read(s3: S3Server, source: BucketSource) -> None:
    for name in ("a", "b", "c", "d"):
        s3.put(f"in/{name}.mp4", name.encode())
    sync(source)
    s3.put("in/b.mp4", b"B")  # as long, other bytes
    s3.put("in/c.mp4", b"longer")
    s3.put("in/d.mp4", b"d")  # written again, same bytes
    s3.put("in/e.mp4", b"e")
    s3.asked.clear()
    report = sync(source)
    assert s3.asked["GetObject"] == 2  # b and e: what has another size cannot be the same clip
    assert report["videos"]["new"] == 1
    assert [file for file, reason in rejections() if "other bytes" in reason] == ["in/c.mp4", "in/b.mp4"]
    media = Video.objects.select_related("media").get(name="b.mp4").media
    assert media is not None
    assert media.sha256 == hashlib.sha256(b"b").hexdigest()
    assert not Media.objects.filter(sha256=hashlib.sha256(b"B").hexdigest()).exists()

    s3.asked.clear()
    again = sync(source)  # said again, and still not read again
    assert s3.asked["GetObject"] == 0
    assert (again["rejected"], len(rejections())) == (2, 2)

    s3.put("in/b.mp4", b"b")  # put right
    assert sync(source)["rejected"] == 1


def test_objects_that_are_gone_are_reported_and_nothing_is_deleted(
    s3: S3Server, source: BucketSource
) -> None:
    for name in ("a", "b", "c"):
        s3.put(f"in/{name}.mp4", name.encode())
    sync(source)
    s3.client.delete_object(Bucket=BUCKET, Key="in/b.mp4")
    report = sync(source)
    assert (report["bucket"]["gone"], report["bucket"]["gone_count"]) == (["in/b.mp4"], 1)
    assert Video.objects.count() == BucketObject.objects.count() == 3
    assert VideoFinding.objects.get(code=GONE).video.name == "b.mp4"
    assert sync(source)["bucket"]["gone_count"] == 1
    s3.put("in/b.mp4", b"b")
    assert sync(source)["bucket"]["gone_count"] == 0
    assert not VideoFinding.objects.filter(code=GONE).exists()


def test_a_sync_that_was_killed_goes_on_without_duplicates(
    s3: S3Server, source: BucketSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_sync, "SLICE", 4)
    for number in range(12):
        s3.put(f"in/{number:02}.mp4", b"clip %d" % number)
    run = begin_sync(source=source, by=None)
    s3.asked.clear()

    def dies(done: int, total: int | None, message: str) -> None:
        if message.startswith("in/09"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sync(run.pk, progress=dies)
    assert s3.asked["GetObject"] == 10
    assert Video.objects.count() == BucketObject.objects.count() == 8
    s3.asked.clear()
    report = run_sync(run.pk, progress=quiet)
    assert s3.asked["GetObject"] == 4
    assert report["videos"] == {"new": 12, "known": 0, "lacking_media": 0}
    assert report["cases"] == {"new": 12, "known": 0}
    assert report["media"]["new"] == 12
    assert (report["bucket"]["read"], report["bucket"]["unchanged"]) == (12, 0)
    assert Case.objects.count() == Job.objects.filter(kind="media").count() == 12


def test_bytes_that_a_corpus_has_are_stored_once(
    s3: S3Server, source: BucketSource, media_root: Path
) -> None:
    s3.put("in/a.mp4", b"same")
    s3.put("in/b.mov", b"same")
    report = sync(source)
    assert (report["videos"]["new"], report["media"]["new"]) == (2, 1)
    assert VideoFinding.objects.get(code="duplicate_of").video.name == "b.mov"
    assert len([path for path in (media_root / "videos").rglob("*") if path.is_file()]) == 1


def test_clips_of_annotations_that_came_first_are_completed(s3: S3Server, source: BucketSource) -> None:
    video = make_video(source.corpus, name="a.mp4", media=None)
    s3.put("in/a.mp4", b"bytes")
    report = sync(source)
    assert (report["videos"]["new"], report["videos"]["known"]) == (0, 1)
    video.refresh_from_db()
    assert video.media == Media.objects.get()


def test_a_video_that_was_deleted_is_read_again(s3: S3Server, source: BucketSource) -> None:
    s3.put("in/a.mp4", b"bytes")
    sync(source)
    Case.objects.all().delete()
    Video.objects.all().delete()
    assert sync(source)["videos"]["new"] == 1


def test_names_that_cannot_be_are_rejected_and_the_rest_goes_on(s3: S3Server, source: BucketSource) -> None:
    s3.put("in/a/../b.mp4", b"x")
    s3.put("in/" + "n" * 301, b"x")
    s3.put("in/good.mp4", b"x")
    report = sync(source)
    assert (report["rejected"], report["videos"]["new"]) == (2, 1)
    assert any("not a file name inside the corpus" in reason for _, reason in rejections())


def test_an_object_that_changes_while_it_is_read_is_left_for_the_next_sync(
    s3: S3Server, source: BucketSource
) -> None:
    s3.put("in/a.mp4", b"first")
    s3.put("in/b.mp4", b"other")
    bucket = Bucket(location_of(source))
    listed = next(bucket.pages())
    s3.put("in/a.mp4", b"after")

    class Late(Bucket):
        def pages(self) -> Any:
            yield listed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bucket_sync, "Bucket", Late)
        report = sync(source)
    assert (report["rejected"], report["videos"]["new"]) == (1, 1)
    assert rejections() == [("in/a.mp4", "was changed while it was being read")]
    assert sync(source)["videos"]["new"] == 1


def test_a_bucket_that_breaks_off_is_patiently_read_but_not_for_ever(
    s3: S3Server, source: BucketSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        s3.put(f"in/{number}.mp4", b"%d" % number)
    broken: list[str] = []
    real = Bucket.read

    def flaky(self: Bucket, item: Any, spool: Any, *, progress: Any) -> None:
        if item.key in broken:
            raise Interrupted("the connection was reset")
        real(self, item, spool, progress=progress)

    monkeypatch.setattr(Bucket, "read", flaky)
    broken += ["in/1.mp4", "in/3.mp4"]
    report = sync(source)
    assert (report["rejected"], report["videos"]["new"]) == (2, 7)
    broken += [f"in/{number}.mp4" for number in range(10, 20)]
    for number in range(10, 20):
        s3.put(f"in/{number}.mp4", b"%d" % number)
    with pytest.raises(Interrupted):
        sync(source)
    broken.clear()
    assert sync(source)["videos"]["new"] == 12


def test_into_a_store_that_is_a_bucket(s3: S3Server, source: BucketSource, settings: Settings) -> None:
    use_as_store(s3, settings)
    s3.put("in/a.mp4", b"bytes")
    sync(source)
    media = Media.objects.get()
    assert sorted(s3.stored_keys()) == ["in/a.mp4", media.storage_name]
    s3.asked.clear()
    assert sync(source)["bucket"]["read"] == 0
    assert s3.asked["GetObject"] == 0


def work() -> Job:
    """Do the next sync."""
    Job.objects.filter(kind="audit").delete()
    job = jobs.claim_next("data")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def test_the_api_adds_lists_and_syncs_buckets(
    s3: S3Server, lead: User, annotator: User, settings: Settings
) -> None:
    corpus = make_corpus("my clips")
    api, reader = APIClient(), APIClient()
    api.force_login(lead)
    reader.force_login(annotator)
    body = {"corpus": corpus.pk, "url": f"s3://{BUCKET}/in/"}
    assert reader.post("/api/buckets", body).status_code == 403
    made = api.post("/api/buckets", body)
    assert made.status_code == 201, made.content
    source = made.json()
    assert source["url"] == f"s3://{BUCKET}/in?endpoint={s3.endpoint}&region=us-east-1"
    again = api.post("/api/buckets", body)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "bucket_known")
    other = api.post("/api/buckets", {**body, "url": "s3://elsewhere"})
    assert (other.status_code, other.json()["error"]["code"]) == (403, "bucket_not_allowed")
    listed = reader.get("/api/buckets", {"corpus": corpus.pk}).json()["results"]
    assert [(row["corpus_name"], row["synced_at"]) for row in listed] == [("my clips", None)]

    s3.put("in/a.mp4", b"bytes")
    assert reader.post(f"/api/buckets/{source['id']}/sync").status_code == 403
    answer = api.post(f"/api/buckets/{source['id']}/sync")
    assert (answer.status_code, answer.json()["kind"]) == (202, "bucket_sync")
    busy = api.post(f"/api/buckets/{source['id']}/sync")
    assert (busy.status_code, busy.json()["error"]["code"]) == (409, "sync_running")
    done = work()
    assert (done.state, done.error) == (JobState.DONE, "")
    run = ImportRun.objects.get(pk=done.args["import_run_id"])
    assert (run.format, run.job_id, run.path) == ("bucket", done.pk, source["url"])
    assert run.finished_at is not None
    seen = reader.get(f"/api/buckets/{source['id']}/objects").json()["results"]
    assert [(row["key"], row["size"]) for row in seen] == [("in/a.mp4", 5)]
    assert api.post(f"/api/buckets/{source['id']}/sync").status_code == 202

    settings.BUCKET_ROOTS = []
    failed = work()
    assert failed.state == JobState.FAILED
    assert "CRASHDESK_BUCKET_ROOTS is empty" in failed.error


def test_a_cancelled_sync_stops_and_a_retried_one_goes_on(
    s3: S3Server, source: BucketSource, lead: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_sync, "SLICE", 2)
    monkeypatch.setattr("crashdesk.jobs.running.PROGRESS_EVERY_SECONDS", 0)
    for number in range(8):
        s3.put(f"in/{number}.mp4", b"%d" % number)
    api = APIClient()
    api.force_login(lead)
    job_id = api.post(f"/api/buckets/{source.pk}/sync").json()["id"]
    real = Bucket.read

    def cancelling(self: Bucket, item: Any, spool: Any, *, progress: Any) -> None:
        real(self, item, spool, progress=progress)
        if item.key == "in/5.mp4":
            running["it"].job.refresh_from_db()
            jobs.cancel(job_id, by=lead)
            running["it"].check(fresh=True)

    running: dict[str, Any] = {}
    monkeypatch.setattr(Bucket, "read", cancelling)
    enter = Running.__enter__
    monkeypatch.setattr(Running, "__enter__", lambda self: running.update(it=self) or enter(self))
    assert work().state == JobState.CANCELLED
    assert Video.objects.count() == 4
    monkeypatch.setattr(Bucket, "read", real)
    jobs.retry(job_id, by=lead)
    assert work().state == JobState.DONE
    assert Video.objects.count() == 8


def test_a_bucket_that_cannot_be_listed_is_said_at_once(s3: S3Server, lead: User) -> None:
    s3.client.delete_bucket(Bucket=BUCKET)
    api = APIClient()
    api.force_login(lead)
    answer = api.post("/api/buckets", {"corpus": make_corpus().pk, "url": f"s3://{BUCKET}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bucket_unreadable")
    assert not BucketSource.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_one_sync_of_a_bucket_at_a_time(s3: S3Server, source: BucketSource) -> None:
    run = begin_sync(source=source, by=None)
    caught: list[str] = []

    def other() -> None:
        try:
            run_sync(run.pk, progress=quiet)
        except SyncBusy as error:
            caught.append(str(error))
        finally:
            connections.close_all()

    with only_sync(source.pk) as alone:
        assert alone
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert caught == [f"another process is syncing {source.url}"]


def test_the_command_makes_the_corpus_and_prints_a_report(s3: S3Server) -> None:
    s3.put("in/a.mp4", b"bytes")
    for read in (1, 0):
        out = io.StringIO()
        call_command("sync_bucket", "new corpus", f"s3://{BUCKET}/in", stdout=out, stderr=io.StringIO())
        assert f"1 objects, {1 - read} unchanged, {read} read" in out.getvalue()
    assert Corpus.objects.get(name="new corpus").videos.count() == 1
    with pytest.raises(CommandError, match="Buckets are read from"):
        call_command("sync_bucket", "new corpus", "s3://elsewhere", stdout=io.StringIO())
    s3.put("in/a.mp4", b"other")
    out = io.StringIO()
    call_command("sync_bucket", "new corpus", f"s3://{BUCKET}/in", stdout=out, stderr=io.StringIO())
    assert "in/a.mp4: holds other bytes" in out.getvalue()
