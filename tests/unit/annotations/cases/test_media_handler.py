from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from rest_framework.test import APIClient

from annotations.cases.models import Case
from annotations.corpora import processing
from annotations.corpora.media.examine import Examined
from annotations.corpora.media.findings import Code, Finding
from annotations.corpora.media.findings import Severity as FindingSeverity
from annotations.corpora.media.probe import Probe
from annotations.corpora.models import Media, VideoFinding
from annotations.corpora.services import process_media, start_import
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import cancel, claim_next, enqueue
from crashdesk.jobs.tasks import perform
from tests.unit.annotations.corpora.media.clips import write_clip

pytestmark = pytest.mark.django_db


def work(queue: str) -> list[Job]:
    jobs = []
    while job := claim_next(queue):
        perform(job)
        job.refresh_from_db()
        jobs.append(job)
    return jobs


def test_an_imported_folder_becomes_cases_ready_or_excluded(tmp_path: Path, lead: User) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_clip(folder / "good.mp4", range(0, 10 * 512, 512), Fraction(1, 12800), rate=Fraction(25))
    (folder / "bad.mp4").write_bytes(b"")
    run, _ = start_import(corpus_name="folder", format="folder", path=folder, by=lead)
    imported, audited = work("data")
    assert (imported.state, imported.error) == ("done", "")
    assert imported.result["videos"]["new"] == 2
    assert (audited.kind, audited.state, audited.error) == ("audit", "done", "")
    examined = [job for job in work("media") if job.kind == "media"]
    assert [job.state for job in examined] == ["done", "done"]
    assert {job.group for job in examined} == {f"import:{run.pk}"}
    later = work("data")
    (audited_again,) = [job for job in later if job.kind == "audit"]
    assert [job.state for job in later if job.kind == "cluster"] == ["done"]
    assert audited_again.result["audit"] != audited.result["audit"], "it knows the clips now"
    assert {case.video.name: (case.status, case.excluded_reason) for case in Case.objects.all()} == {
        "good.mp4": ("ready", ""),
        "bad.mp4": ("excluded", "unusable clip: zero_byte"),
    }


def test_the_audit_waits_for_the_last_clip_even_for_one_given_up(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one.mp4", "two.mp4"):
        (folder / name).write_bytes(name.encode())
    start_import(corpus_name="folder", format="folder", path=folder, by=None)
    work("data")
    first = claim_next("media")
    assert first is not None
    perform(first)
    assert not Job.objects.filter(kind="audit", state="queued").exists()
    cancel(Job.objects.get(kind="media", state="queued").pk, by=None)
    assert Job.objects.filter(kind="audit", state="queued").count() == 1


def test_a_media_job_may_come_twice(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.mp4").write_bytes(b"x")
    start_import(corpus_name="folder", format="folder", path=tmp_path / "in", by=None)
    work("data")
    work("media")
    enqueue("media", {"media_id": Media.objects.get().pk}, by=None)
    (again,) = work("media")
    assert (again.state, again.result["state"]) == ("done", "unusable")


def test_clips_known_from_elsewhere_are_ready_at_once(tmp_path: Path) -> None:
    for corpus in ("one", "two"):
        folder = tmp_path / corpus
        folder.mkdir()
        write_clip(folder / "good.mp4", range(0, 10 * 512, 512), Fraction(1, 12800), rate=Fraction(25))
        start_import(corpus_name=corpus, format="folder", path=folder, by=None)
        work("data")
        if corpus == "one":
            work("media")
    assert [case.status for case in Case.objects.all()] == ["ready", "ready"]
    assert Media.objects.count() == 1


def imported(folder: Path, corpus: str = "folder") -> None:
    """A folder with one sound clip, read into the corpus; its media job waits."""
    folder.mkdir(exist_ok=True)
    write_clip(folder / "good.mp4", range(0, 10 * 512, 512), Fraction(1, 12800), rate=Fraction(25))
    start_import(corpus_name=corpus, format="folder", path=folder, by=None)
    work("data")


def findings() -> list[tuple[str, str, str]]:
    rows = VideoFinding.objects.order_by("video", "code")
    return list(rows.values_list("video__corpus__name", "code", "message"))


def test_a_media_job_that_fails_for_good_is_named_and_queued_by_the_next_import(
    tmp_path: Path, settings: Any
) -> None:
    settings.JOB_MAX_ATTEMPTS = 1
    imported(tmp_path / "in")
    imported(tmp_path / "in", "other")
    default_storage.delete(Media.objects.get().storage_name)
    (job,) = work("media")
    assert job.state == "failed"
    assert [(corpus, code) for corpus, code, _ in findings() if code != "duplicate_of"] == [
        ("folder", "processing_failed"),
        ("other", "processing_failed"),
    ]
    finding = VideoFinding.objects.filter(code="processing_failed").first()
    assert finding is not None
    assert finding.severity == "error"
    assert job.error.strip().splitlines()[-1] in finding.message
    imported(tmp_path / "in")
    imported(tmp_path / "in")
    again, fingerprint = work("media")
    assert (again.state, fingerprint.kind) == ("done", "fingerprint")
    assert "processing_failed" not in {code for _, code, _ in findings()}
    assert {case.status for case in Case.objects.all()} == {"ready"}


def test_a_cancelled_media_job_is_named_once_and_queued_by_the_next_import(tmp_path: Path) -> None:
    for _ in range(2):
        imported(tmp_path / "in")
        cancel(Job.objects.get(kind="media", state="queued").pk, by=None)
        assert findings() == [("folder", "processing_failed", "processing was cancelled")]
    imported(tmp_path / "in")
    work("media")
    assert findings() == []
    assert Case.objects.get().status == "ready"


def test_a_job_that_gives_up_after_the_examination_settles_its_cases(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_MAX_ATTEMPTS = 1
    imported(tmp_path / "in")

    def dies_afterwards(media_id: int, *, last_try: bool) -> Media:
        process_media(media_id)
        raise MemoryError

    monkeypatch.setattr("annotations.cases.media_handler.process_media", dies_afterwards)
    (job,) = work("media")
    assert job.state == "failed"
    assert Case.objects.get().status == "ready"
    assert findings() == []


def test_a_reader_that_died_gets_a_second_try_and_people_may_give_it_a_third(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lead: User, annotator: User
) -> None:
    imported(tmp_path / "in")
    healthy = processing.examine

    def killed(child: Any, path: Path, folder: Path) -> Examined:
        finding = Finding(
            Code.DECODER_CRASHED, FindingSeverity.ERROR, "the reader died on it (exit code -15)"
        )
        return Examined(Probe(size_bytes=1, findings=(finding,)), None, (finding,))

    monkeypatch.setattr(processing, "examine", killed)
    (first,) = work("media")
    assert (first.state, "exit code -15" in first.error) == ("queued", True)
    assert Media.objects.get().state == "pending"
    Job.objects.update(not_before=None)
    (second,) = work("media")
    assert (second.state, second.result["state"]) == ("done", "unusable")
    case = Case.objects.get()
    assert (case.status, case.excluded_reason) == ("excluded", "unusable clip: decoder_crashed")

    monkeypatch.setattr(processing, "examine", healthy)
    client, url = APIClient(), f"/api/videos/{case.video_id}/examine-again"
    client.force_authenticate(annotator)
    assert client.post(url).status_code == 403
    client.force_authenticate(lead)
    assert client.post(url).status_code == 202
    work("media")
    case.refresh_from_db()
    assert (case.status, findings()) == ("ready", [])
    refused = client.post(url)
    assert (refused.status_code, refused.data["error"]["code"]) == (409, "media_not_unusable")
