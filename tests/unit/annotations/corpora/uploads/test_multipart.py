"""Uploads straight into a bucket, against a local S3-compatible server."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from annotations.cases.models import Case
from annotations.corpora.models import Corpus, Media, Upload, UploadState, Video
from annotations.corpora.tasks import expire_uploads
from annotations.corpora.uploads import multipart
from crashdesk.accounts.models import User
from crashdesk.jobs import services as jobs
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.tasks import perform
from tests.factories import make_corpus
from tests.unit.annotations.corpora.s3 import BUCKET, S3Server, s3_server, use_as_store

pytestmark = [pytest.mark.services, pytest.mark.django_db]
PART = 5 << 20
CONTENT = bytes(range(256)) * ((PART + 1000) // 256)


@pytest.fixture
def s3(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    monkeypatch.setattr(multipart, "PART_BYTES", PART)
    with s3_server(monkeypatch) as server:
        use_as_store(server, settings)
        yield server


@pytest.fixture
def corpus(db: None) -> Corpus:
    return make_corpus("my clips")


@pytest.fixture
def api(lead: User) -> APIClient:
    client = APIClient()
    client.force_login(lead)
    return client


def begin(api: APIClient, corpus: Corpus, content: bytes = CONTENT, name: str = "a.mp4") -> dict[str, Any]:
    made = api.post("/api/uploads", {"corpus": corpus.name, "name": name, "size": len(content)})
    assert made.status_code == 201, made.content
    told: dict[str, Any] = made.json()
    return told


def send(api: APIClient, told: dict[str, Any], content: bytes, numbers: list[int]) -> list[dict[str, Any]]:
    """PUT these parts; returns what completing needs of them."""
    signed = api.post(f"{told['url']}/parts", {"numbers": numbers}).json()
    done = []
    for part in signed:
        size, number = told["part_size"], part["number"]
        assert "X-Amz-Signature=" in part["url"]
        answer = requests.put(part["url"], data=content[(number - 1) * size : number * size], timeout=10)
        assert answer.status_code == 200
        done.append({"number": number, "etag": answer.headers["ETag"]})
    return done


def work() -> Job:
    job = jobs.claim_next("data")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_clip_goes_to_the_bucket_in_parts_and_becomes_a_case(
    s3: S3Server, api: APIClient, corpus: Corpus
) -> None:
    told = begin(api, corpus)
    assert (told["method"], told["part_size"], told["part_count"]) == ("multipart", PART, 2)
    parts = send(api, told, CONTENT, [2])
    there = api.get(f"{told['url']}/parts").json()
    assert [(part["number"], part["size"]) for part in there] == [(2, len(CONTENT) - PART)]
    parts += send(api, told, CONTENT, [1])
    done = api.post(f"{told['url']}/complete", {"parts": parts})
    assert (done.status_code, done.json()["offset"]) == (202, len(CONTENT))
    assert work().state == JobState.DONE
    told = api.get(told["url"]).json()
    assert (told["state"], told["problem"]) == ("done", "")
    media = Media.objects.get()
    assert (media.sha256, media.size) == (hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))
    assert s3.stored_keys() == [media.storage_name]
    stored = s3.client.get_object(Bucket=BUCKET, Key=media.storage_name)["Body"].read()
    assert stored == CONTENT
    assert Case.objects.get(video_id=told["video"]).corpus == corpus
    assert Job.objects.filter(kind="media").count() == 1


def test_completing_twice_or_after_a_lost_answer_is_one_upload(
    s3: S3Server, api: APIClient, corpus: Corpus
) -> None:
    told = begin(api, corpus)
    parts = send(api, told, CONTENT, [1, 2])
    upload = Upload.objects.get()
    multipart.finish(upload, [multipart.Part(part["number"], part["etag"].strip('"')) for part in parts])
    for _ in range(2):
        assert api.post(f"{told['url']}/complete", {"parts": parts}).status_code == 202
    assert Job.objects.filter(kind="upload").count() == 1
    work()
    assert Video.objects.count() == 1


def test_wrong_missing_and_short_parts_are_refused(s3: S3Server, api: APIClient, corpus: Corpus) -> None:
    told = begin(api, corpus)
    parts = send(api, told, CONTENT, [1, 2])
    complete = f"{told['url']}/complete"
    assert code(api.post(complete, {"parts": parts[:1]})) == (409, "parts_differ")
    assert code(api.post(complete, {"parts": [*parts, {"number": 3, "etag": "x"}]})) == (409, "parts_differ")
    assert code(api.post(complete, {"parts": [parts[0], {**parts[1], "etag": "x"}]})) == (409, "parts_differ")
    short = send(api, told, CONTENT[:-1], [2])
    answer = api.post(complete, {"parts": [parts[0], *short]})
    assert code(answer) == (409, "parts_differ")
    assert f"{len(CONTENT) - 1} bytes instead of {len(CONTENT)}" in answer.json()["error"]["message"]
    assert not Job.objects.exists()
    assert code(api.post(f"{told['url']}/parts", {"numbers": [3]})) == (400, "invalid_part")
    parts = send(api, told, CONTENT, [1, 2])
    assert api.post(complete, {"parts": parts}).status_code == 202


def test_an_ended_upload_leaves_nothing_in_the_bucket(
    s3: S3Server, api: APIClient, corpus: Corpus, django_capture_on_commit_callbacks: Any
) -> None:
    told = begin(api, corpus)
    parts = send(api, told, CONTENT, [1])
    with django_capture_on_commit_callbacks(execute=True):
        assert api.delete(told["url"]).status_code == 204
    assert s3.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []) == []
    assert code(api.post(f"{told['url']}/complete", {"parts": parts})) == (410, "upload_ended")
    assert code(api.get(f"{told['url']}/parts")) == (410, "upload_ended")


def test_an_upload_that_the_bucket_forgot_has_ended(s3: S3Server, api: APIClient, corpus: Corpus) -> None:
    told = begin(api, corpus)
    parts = send(api, told, CONTENT, [1, 2])
    multipart.discard(Upload.objects.get())
    assert code(api.post(f"{told['url']}/complete", {"parts": parts})) == (410, "upload_ended")


def test_an_object_that_went_missing_refuses_the_upload(s3: S3Server, api: APIClient, corpus: Corpus) -> None:
    told = begin(api, corpus)
    api.post(f"{told['url']}/complete", {"parts": send(api, told, CONTENT, [1, 2])})
    s3.client.delete_object(Bucket=BUCKET, Key=s3.stored_keys()[0])
    work()
    assert Upload.objects.get().state == UploadState.REFUSED


def test_a_job_killed_after_its_copy_goes_on(s3: S3Server, api: APIClient, corpus: Corpus) -> None:
    told = begin(api, corpus)
    api.post(f"{told['url']}/complete", {"parts": send(api, told, CONTENT, [1, 2])})
    multipart.store_object(Upload.objects.get(), progress=lambda _: None)
    assert len(s3.stored_keys()) == 2
    s3.asked.clear()
    work()
    assert s3.asked["CopyObject"] == 0
    assert s3.stored_keys() == [Media.objects.get().storage_name]


def test_an_empty_clip_is_one_empty_part(s3: S3Server, api: APIClient, corpus: Corpus) -> None:
    told = begin(api, corpus, b"")
    assert told["part_count"] == 1
    parts = send(api, told, b"", [1])
    assert api.post(f"{told['url']}/complete", {"parts": parts}).status_code == 202
    work()
    assert Media.objects.get().size == 0


def test_tus_is_for_local_stores(s3: S3Server, api: APIClient, corpus: Corpus) -> None:
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "3"}
    assert code(api.post("/api/uploads", headers=headers)) == (409, "upload_by_parts")
    told = begin(api, corpus)
    answer = api.generic(
        "PATCH", told["url"], b"abc", content_type="application/offset+octet-stream",
        headers={**headers, "Upload-Offset": "0"},
    )  # fmt: skip
    assert code(answer) == (409, "upload_by_parts")
    assert "Tus-Extension" not in api.options("/api/uploads")


def test_leftovers_of_killed_servers_are_swept_away(
    s3: S3Server, api: APIClient, corpus: Corpus, settings: Settings
) -> None:
    begin(api, corpus)
    Upload.objects.update(expires_at=timezone.now() + timedelta(days=1))
    s3.client.create_multipart_upload(Bucket=BUCKET, Key="incoming/nobody")
    s3.client.create_multipart_upload(Bucket=BUCKET, Key="elsewhere/somebody")
    s3.put("incoming/leftover", b"x")
    s3.put("videos/kept", b"x")
    expire_uploads()
    assert "incoming/leftover" in s3.stored_keys()
    settings.UPLOAD_EXPIRE_HOURS = -1
    expire_uploads()
    left = {item["Key"] for item in s3.client.list_multipart_uploads(Bucket=BUCKET)["Uploads"]}
    assert left == {f"incoming/{Upload.objects.get().pk}", "elsewhere/somebody"}
    assert s3.stored_keys() == ["videos/kept"]


@pytest.mark.parametrize("size", [0, 1, 16 << 20, (16 << 20) + 1, 200 << 30])
def test_parts_fit_what_buckets_take(size: int) -> None:
    part, count = multipart.part_bytes(size), multipart.part_count(size)
    assert part >= 5 << 20
    assert part <= 5 << 30
    assert part % (1 << 20) == 0
    assert count <= multipart.MAX_PARTS
    assert (count - 1) * part < size <= count * part or (size, count) == (0, 1)


def test_a_bucket_that_cannot_be_reached_is_said(
    s3: S3Server, api: APIClient, corpus: Corpus, settings: Settings
) -> None:
    s3.client.delete_bucket(Bucket=BUCKET)
    answer = api.post("/api/uploads", {"corpus": corpus.name, "name": "a.mp4", "size": 3})
    assert code(answer) == (502, "store_failed")
    assert "NoSuchBucket" in answer.json()["error"]["message"]
    assert not Upload.objects.exists()
