from fractions import Fraction
from pathlib import Path

import pytest

from annotations.cases.models import Case
from annotations.corpora.models import Media
from annotations.corpora.services import start_import
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import claim_next, enqueue
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
    (imported,) = work("data")
    assert (imported.state, imported.error) == ("done", "")
    assert imported.result["videos"]["new"] == 2
    examined = work("media")
    assert [job.state for job in examined] == ["done", "done"]
    assert {job.group for job in examined} == {f"import:{run.pk}"}
    assert {case.video.name: (case.status, case.excluded_reason) for case in Case.objects.all()} == {
        "good.mp4": ("ready", ""),
        "bad.mp4": ("excluded", "unusable clip: zero_byte"),
    }


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
