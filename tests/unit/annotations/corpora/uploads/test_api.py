import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from annotations.cases.models import Case
from annotations.corpora.models import Corpus, Media, Upload, UploadState, Video
from annotations.corpora.tasks import expire_uploads
from crashdesk.accounts.models import User
from crashdesk.accounts.services import api_token
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs import services as jobs
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.tasks import perform
from tests.factories import make_corpus, make_media, make_video

pytestmark = pytest.mark.django_db
TUS = {"Tus-Resumable": "1.0.0"}


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


class Tus:
    """A small client."""

    def __init__(self, user: User) -> None:
        self.http = APIClient()
        self.http.credentials(HTTP_AUTHORIZATION=f"Token {api_token(user)}")

    def create(self, corpus: Corpus, name: str, size: int, **more: str) -> Any:
        told = metadata(filename=name, corpus=corpus.name, **more)
        headers = {**TUS, "Upload-Length": str(size), "Upload-Metadata": told}
        return self.http.post("/api/uploads", headers=headers)

    def patch(self, url: str, offset: int, content: bytes, **headers: str) -> Any:
        return self.http.generic(
            "PATCH", url, content, content_type="application/offset+octet-stream",
            headers={**TUS, "Upload-Offset": str(offset), **{k.replace("_", "-"): v for k, v in headers.items()}},
        )  # fmt: skip

    def head(self, url: str) -> Any:
        return self.http.head(url, headers=TUS)

    def delete(self, url: str) -> Any:
        return self.http.delete(url, headers=TUS)


@pytest.fixture
def corpus(db: None) -> Corpus:
    return make_corpus("my clips")


@pytest.fixture
def tus(lead: User) -> Tus:
    return Tus(lead)


def work() -> Job:
    """Do the next job of the queue "data"."""
    job = jobs.claim_next("data")
    assert job is not None
    perform(job)
    job.refresh_from_db()
    return job


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_clip_comes_in_pieces_and_becomes_a_case(
    tus: Tus, corpus: Corpus, media_root: Path, lead: User
) -> None:
    content = bytes(range(256)) * 40
    made = tus.create(corpus, "trip/clip 1.MP4", len(content), source="dashcam", camera="front")
    assert made.status_code == 201
    assert made["Tus-Resumable"] == "1.0.0"
    assert made["Upload-Expires"].endswith("GMT")
    url = made["Location"]
    first = tus.patch(url, 0, content[:4000])
    assert (first.status_code, first["Upload-Offset"]) == (204, "4000")
    where = tus.head(url)
    assert (where.status_code, where["Upload-Offset"], where["Upload-Length"]) == (
        200,
        "4000",
        str(len(content)),
    )
    assert where["Cache-Control"] == "no-store"
    assert "filename " in where["Upload-Metadata"]
    assert not Job.objects.exists()
    assert tus.patch(url, 4000, content[4000:])["Upload-Offset"] == str(len(content))
    job = work()
    assert (job.kind, job.state, job.error) == ("upload", JobState.DONE, "")

    told = tus.http.get(url).json()
    assert (told["state"], told["method"], told["problem"]) == ("done", "tus", "")
    video = Video.objects.get(pk=told["video"])
    assert (video.name, video.source, video.recording) == ("trip/clip 1.MP4", "dashcam", "clip 1")
    assert video.metadata == {"camera": "front"}
    assert video.media is not None
    sha256 = hashlib.sha256(content).hexdigest()
    assert (video.media.sha256, video.media.size) == (sha256, len(content))
    assert (media_root / video.media.storage_name).read_bytes() == content
    assert video.media.storage_name.endswith(f"{sha256}.mp4")
    assert list((media_root / "incoming").iterdir()) == []
    case = Case.objects.get(video=video)
    assert (case.corpus, case.guideline.name, case.lacks_media) == (corpus, "my clips", False)
    assert Job.objects.get(kind="media").args == {"media_id": video.media_id}
    assert AuditEvent.objects.get(verb="upload.finished").actor == lead.username


def test_the_server_tells_what_it_can(tus: Tus, settings: Settings) -> None:
    settings.UPLOAD_MAX_BYTES = 5000
    answer = tus.http.options("/api/uploads")
    assert answer.status_code == 204
    assert (answer["Tus-Version"], answer["Tus-Max-Size"]) == ("1.0.0", "5000")
    assert set(answer["Tus-Extension"].split(",")) == {
        "creation", "creation-with-upload", "termination", "expiration", "checksum"
    }  # fmt: skip
    assert answer["Tus-Checksum-Algorithm"] == "sha1,sha256"


def test_bytes_may_come_with_the_creation(tus: Tus, corpus: Corpus) -> None:
    headers = {
        **TUS,
        "Upload-Length": "6",
        "Upload-Metadata": metadata(filename="a.mp4", corpus=str(corpus.pk)),
    }
    made = tus.http.generic(
        "POST", "/api/uploads", b"abcd", content_type="application/offset+octet-stream", headers=headers
    )
    assert (made.status_code, made["Upload-Offset"]) == (201, "4")
    assert tus.patch(made["Location"], 4, b"ef")["Upload-Offset"] == "6"
    work()
    assert Media.objects.get().sha256 == hashlib.sha256(b"abcdef").hexdigest()


def test_an_empty_clip_needs_no_bytes(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "empty.mp4", 0)["Location"]
    assert work().state == JobState.DONE
    assert Media.objects.get().size == 0
    assert Upload.objects.get().state == UploadState.DONE
    assert tus.head(url)["Upload-Offset"] == "0"


def test_a_script_begins_with_json(tus: Tus, corpus: Corpus) -> None:
    body = {"corpus": corpus.name, "name": "a.mp4", "size": 3, "metadata": {"weather": ["rain"]}}
    made = tus.http.post("/api/uploads", body)
    assert (made.status_code, made.json()["method"], made["Location"]) == (201, "tus", made.json()["url"])
    assert tus.patch(made.json()["url"], 0, b"abc").status_code == 204
    work()
    assert Video.objects.get().metadata == {"weather": ["rain"]}


def test_a_wrong_offset_is_a_conflict_and_changes_nothing(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 10)["Location"]
    tus.patch(url, 0, b"abcd")
    for offset in (0, 3, 5, 10):
        answer = tus.patch(url, offset, b"x")
        assert code(answer) == (409, "offset_conflict")
        assert answer.json()["error"]["fields"] == {"Upload-Offset": ["4"]}
    assert tus.head(url)["Upload-Offset"] == "4"


def test_more_than_was_announced_is_refused(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 4)["Location"]
    assert code(tus.patch(url, 0, b"abcde")) == (413, "upload_too_long")
    assert tus.head(url)["Upload-Offset"] == "0"


def test_bytes_that_were_not_acknowledged_are_cut_off(tus: Tus, corpus: Corpus, media_root: Path) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    tus.patch(url, 0, b"abc")
    file = media_root / "incoming" / url.rsplit("/", 1)[1]
    with file.open("ab") as stream:
        stream.write(b"never acknowledged, and longer than the clip")
    assert tus.patch(url, 3, b"def").status_code == 204
    work()
    assert Media.objects.get().sha256 == hashlib.sha256(b"abcdef").hexdigest()


def test_lost_bytes_end_the_upload_with_the_reason(tus: Tus, corpus: Corpus, media_root: Path) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    tus.patch(url, 0, b"abc")
    (media_root / "incoming" / url.rsplit("/", 1)[1]).write_bytes(b"a")
    assert code(tus.patch(url, 3, b"def")) == (410, "upload_ended")
    upload = Upload.objects.get()
    assert upload.state == UploadState.REFUSED
    assert "lost bytes" in upload.problem
    assert tus.head(url).status_code == 410


def test_lost_bytes_of_a_complete_upload_end_it_too(tus: Tus, corpus: Corpus, media_root: Path) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    tus.patch(url, 0, b"abcdef")
    (media_root / "incoming" / url.rsplit("/", 1)[1]).unlink()
    work()
    assert Upload.objects.get().state == UploadState.REFUSED
    assert not Video.objects.exists()


def test_a_checksum_makes_it_all_or_nothing(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    right = base64.b64encode(hashlib.sha1(b"abc").digest()).decode()
    assert code(tus.patch(url, 0, b"abX", Upload_Checksum=f"sha1 {right}")) == (460, "checksum_mismatch")
    assert tus.head(url)["Upload-Offset"] == "0"
    assert tus.patch(url, 0, b"abc", Upload_Checksum=f"sha1 {right}")["Upload-Offset"] == "3"
    right = base64.b64encode(hashlib.sha256(b"def").digest()).decode()
    assert tus.patch(url, 3, b"def", Upload_Checksum=f"sha256 {right}")["Upload-Offset"] == "6"
    work()
    assert Media.objects.get().sha256 == hashlib.sha256(b"abcdef").hexdigest()


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"Tus-Resumable": "0.2.2"}, (412, "tus_version")),
        ({"Upload-Length": "many"}, (400, "invalid_header")),
        ({"Upload-Length": "5001"}, (413, "upload_too_large")),
        ({"Upload-Metadata": "filename %%"}, (400, "invalid_header")),
        ({"Upload-Metadata": metadata(corpus="my clips")}, (400, "invalid")),
        ({"Upload-Metadata": metadata(corpus="my clips", filename="../a.mp4")}, (400, "invalid")),
        ({"Upload-Metadata": metadata(corpus="my clips", filename="/a.mp4")}, (400, "invalid")),
        ({"Upload-Metadata": metadata(corpus="my clips", filename="a\x00.mp4")}, (400, "invalid")),
        (
            {"Upload-Metadata": metadata(corpus="my clips", filename="a.mp4", source="s" * 101)},
            (400, "invalid"),
        ),
        ({"Upload-Metadata": metadata(corpus="others", filename="a.mp4")}, (400, "unknown_corpus")),
        ({"Upload-Defer-Length": "1"}, (400, "invalid_header")),
    ],
)
def test_a_creation_that_cannot_be_is_named(
    tus: Tus, corpus: Corpus, settings: Settings, change: dict[str, str], wanted: tuple[int, str]
) -> None:
    settings.UPLOAD_MAX_BYTES = 5000
    headers = {**TUS, "Upload-Length": "6", "Upload-Metadata": metadata(filename="a.mp4", corpus=corpus.name)}
    answer = tus.http.post("/api/uploads", headers={**headers, **change})
    assert code(answer) == wanted
    assert answer["Tus-Resumable"] == "1.0.0"
    assert not Upload.objects.exists()


def test_a_piece_needs_version_type_offset_and_length(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    kind = "application/offset+octet-stream"

    def send(content_type: str = kind, **headers: str) -> tuple[int, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return code(tus.http.generic("PATCH", url, b"abc", content_type=content_type, headers=named))

    assert send(Upload_Offset="0") == (412, "tus_version")
    assert send(Upload_Offset="0", Tus_Resumable="2") == (412, "tus_version")
    assert send("video/mp4", Upload_Offset="0", **{"Tus_Resumable": "1.0.0"}) == (415, "wrong_type")
    assert send(Tus_Resumable="1.0.0") == (400, "invalid_header")
    assert send(Tus_Resumable="1.0.0", Upload_Offset="0", Transfer_Encoding="chunked") == (
        411,
        "length_required",
    )
    assert tus.http.head(f"{url[:-4]}0000", headers=TUS).status_code == 404


def test_the_method_may_come_in_a_header(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 3)["Location"]
    headers = {**TUS, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = tus.http.generic(
        "POST", url, b"abc", content_type="application/offset+octet-stream", headers=headers
    )
    assert (answer.status_code, answer["Upload-Offset"]) == (204, "3")


def test_an_upload_is_ended_and_its_bytes_go(
    tus: Tus, corpus: Corpus, media_root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    tus.patch(url, 0, b"abc")
    with django_capture_on_commit_callbacks(execute=True):
        assert tus.delete(url).status_code == 204
    assert list((media_root / "incoming").iterdir()) == []
    assert code(tus.patch(url, 3, b"def")) == (410, "upload_ended")
    assert tus.head(url).status_code == 410
    assert code(tus.delete(url)) == (410, "upload_ended")


def test_an_upload_ended_while_its_job_waits_makes_no_video(
    tus: Tus, corpus: Corpus, media_root: Path
) -> None:
    url = tus.create(corpus, "a.mp4", 3)["Location"]
    tus.patch(url, 0, b"abc")
    tus.delete(url)
    assert work().state == JobState.DONE
    assert not Video.objects.exists()
    assert list((media_root / "incoming").iterdir()) == []


def test_only_who_may_import_uploads_and_only_to_their_own(
    tus: Tus, corpus: Corpus, annotator: User, engineer: User, admin: User
) -> None:
    assert code(Tus(annotator).create(corpus, "a.mp4", 6)) == (403, "permission_denied")
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    assert code(Tus(engineer).patch(url, 0, b"abc")) == (403, "not_your_upload")
    assert Tus(annotator).patch(url, 0, b"abc").status_code == 403
    assert Tus(annotator).delete(url).status_code == 403
    assert Tus(annotator).head(url).status_code == 200
    assert APIClient().post("/api/uploads", headers=TUS).status_code == 401
    assert Tus(admin).delete(url).status_code == 204


def test_a_page_uploads_with_its_session_and_csrf_token(lead: User, corpus: Corpus) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(lead)
    headers = {**TUS, "Upload-Length": "3", "Upload-Metadata": metadata(filename="a.mp4", corpus=corpus.name)}
    assert browser.post("/api/uploads", headers=headers, content_type="text/plain").status_code == 403
    token = "a" * 32
    browser.cookies["crashdesk_csrf"] = token
    headers["X-CSRFToken"] = token
    kind = "application/offset+octet-stream"
    made = browser.generic("POST", "/api/uploads", b"a", content_type=kind, headers=headers)
    assert (made.status_code, made["Upload-Offset"]) == (201, "1")
    for given, wanted in (({}, 403), ({"X-CSRFToken": token}, 204)):
        answer = browser.generic(
            "PATCH",
            made["Location"],
            b"bc",
            content_type=kind,
            headers={**TUS, "Upload-Offset": "1", **given},
        )
        assert answer.status_code == wanted


def upload(tus: Tus, corpus: Corpus, name: str, content: bytes) -> Upload:
    url = tus.create(corpus, name, len(content))["Location"]
    assert tus.patch(url, 0, content).status_code == 204
    work()
    return Upload.objects.get(pk=url.rsplit("/", 1)[1])


def test_the_same_bytes_under_a_taken_name_are_the_same_video(tus: Tus, corpus: Corpus) -> None:
    first, second = upload(tus, corpus, "a.mp4", b"abc"), upload(tus, corpus, "a.mp4", b"abc")
    assert (second.state, second.video_id) == (UploadState.DONE, first.video_id)
    assert (Video.objects.count(), Case.objects.count(), Media.objects.count()) == (1, 1, 1)


def test_other_bytes_under_a_taken_name_are_refused(
    tus: Tus, corpus: Corpus, media_root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    upload(tus, corpus, "a.mp4", b"abc")
    assert code(tus.create(corpus, "a.mp4", 4)) == (409, "name_taken")
    with django_capture_on_commit_callbacks(execute=True):
        second = upload(tus, corpus, "a.mp4", b"xyz")
    assert second.state == UploadState.REFUSED
    assert "other bytes" in second.problem
    assert Video.objects.get().media == Media.objects.get()
    assert Media.objects.get().sha256 == hashlib.sha256(b"abc").hexdigest()
    assert list((media_root / "incoming").iterdir()) == []


def test_the_same_bytes_under_another_name_are_stored_once(
    tus: Tus, corpus: Corpus, media_root: Path
) -> None:
    upload(tus, corpus, "a.mp4", b"abc")
    upload(tus, make_corpus(), "b.avi", b"abc")
    assert (Video.objects.count(), Media.objects.count()) == (2, 1)
    assert len([path for path in (media_root / "videos").rglob("*") if path.is_file()]) == 1


def test_bytes_for_an_annotated_clip_complete_its_case(tus: Tus, corpus: Corpus) -> None:
    video = make_video(corpus, name="a.mp4", media=None)
    done = upload(tus, corpus, "a.mp4", b"abc")
    assert done.video_id == video.pk
    video.refresh_from_db()
    assert video.media == Media.objects.get()


def test_a_full_disk_is_said_and_nothing_is_lost(
    tus: Tus, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = tus.create(corpus, "a.mp4", 6)["Location"]
    tus.patch(url, 0, b"abc")

    def full(self: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("annotations.corpora.uploads.partials.Partial.sync", full)
        assert code(tus.patch(url, 3, b"def")) == (507, "store_full")
    assert tus.head(url)["Upload-Offset"] == "3"
    assert tus.patch(url, 3, b"def").status_code == 204
    monkeypatch.setattr("annotations.corpora.uploads.services.free_bytes", lambda: 5)
    assert code(tus.create(corpus, "b.mp4", 6)) == (507, "store_full")


def test_a_job_that_failed_says_so_and_is_tried_again(
    tus: Tus, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.JOB_MAX_ATTEMPTS = 1
    url = tus.create(corpus, "a.mp4", 3)["Location"]
    with monkeypatch.context() as patched:
        patched.setattr(
            "annotations.corpora.uploads.partials.place",
            lambda *_: (_ for _ in ()).throw(OSError(28, "full")),
        )
        tus.patch(url, 0, b"abc")
        assert work().state == JobState.FAILED
    told = tus.http.get(url).json()
    assert told["state"] == "open"
    assert "full" in told["problem"]
    assert tus.patch(url, 3, b"").status_code == 204  # asks again
    assert work().state == JobState.DONE
    told = tus.http.get(url).json()
    assert (told["state"], told["problem"]) == ("done", "")


def test_a_job_that_is_done_twice_makes_one_video(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 3)["Location"]
    tus.patch(url, 0, b"abc")
    work()
    again = jobs.enqueue("upload", {"upload_id": url.rsplit("/", 1)[1]}, by=None)
    assert work().pk == again.pk
    again.refresh_from_db()
    assert again.state == JobState.DONE
    assert Video.objects.count() == 1


def test_uploads_that_nobody_goes_on_with_expire(
    tus: Tus, corpus: Corpus, media_root: Path, django_capture_on_commit_callbacks: Any
) -> None:
    old, young, waiting = (tus.create(corpus, name, 3)["Location"] for name in ("a.mp4", "b.mp4", "c.mp4"))
    for url, content in ((old, b"ab"), (young, b"ab"), (waiting, b"abc")):
        tus.patch(url, 0, content)
    past = timezone.now() - timedelta(hours=1)
    Upload.objects.filter(name__in=["a.mp4", "c.mp4"]).update(expires_at=past)
    assert code(tus.patch(old, 2, b"c")) == (410, "upload_ended")
    with django_capture_on_commit_callbacks(execute=True):
        assert expire_uploads() == 1
    states = dict(Upload.objects.values_list("name", "state"))
    assert states == {"a.mp4": "cancelled", "b.mp4": "open", "c.mp4": "open"}
    left = {path.name for path in (media_root / "incoming").iterdir()}
    assert left == {young.rsplit("/", 1)[1], waiting.rsplit("/", 1)[1]}


def test_leftovers_are_swept_away_by_age(
    tus: Tus, corpus: Corpus, media_root: Path, settings: Settings
) -> None:
    url = tus.create(corpus, "a.mp4", 3)["Location"]
    tus.patch(url, 0, b"ab")
    leftover = media_root / "incoming" / "spool-killed"
    leftover.write_bytes(b"x")
    expire_uploads()
    assert leftover.exists()
    settings.UPLOAD_EXPIRE_HOURS = 0
    expire_uploads()
    assert not leftover.exists()
    assert (media_root / "incoming" / url.rsplit("/", 1)[1]).exists()


def test_uploads_are_listed(
    tus: Tus, corpus: Corpus, annotator: User, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for number in range(3):
        tus.create(corpus, f"{number}.mp4", 3)
    reader = Tus(annotator)
    with django_assert_max_num_queries(5):
        body = reader.http.get("/api/uploads", {"corpus": corpus.pk, "state": "open"}).json()
    assert {row["name"] for row in body["results"]} == {"0.mp4", "1.mp4", "2.mp4"}


def test_parts_are_for_buckets(tus: Tus, corpus: Corpus) -> None:
    url = tus.create(corpus, "a.mp4", 3)["Location"]
    answers: list[Response] = [
        tus.http.get(f"{url}/parts"),
        tus.http.post(f"{url}/parts", {"numbers": [1]}),
        tus.http.post(f"{url}/complete", {"parts": []}),
    ]
    assert [code(answer) for answer in answers] == [(409, "upload_by_tus")] * 3


def test_a_clip_of_another_size_does_not_take_a_name(tus: Tus, corpus: Corpus) -> None:
    make_video(corpus, name="a.mp4", media=make_media(size=7))
    assert code(tus.create(corpus, "a.mp4", 6)) == (409, "name_taken")
    assert tus.create(corpus, "a.mp4", 7).status_code == 201
