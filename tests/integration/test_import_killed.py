"""An import whose process is killed half-way goes on from there: nothing twice, nothing missing, the report right."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import Count
from django.utils import timezone

from annotations.cases.intake import run_import
from annotations.cases.models import Answer, Case
from annotations.corpora.models import Corpus, ImportRun, SourceRecord, Video, VideoFinding
from annotations.corpora.services import begin_import
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue, revive_expired
from tests.shared_data import ROOT
from tests.unit.annotations.cases.conversations import CALM, CRASH, write

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]
CLIPS = 1500
WORKER = "from crashdesk.jobs import services, tasks; tasks.perform(services.claim_next('data'))"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Eight batches of rows, among them spans of no length and rows that cannot be taken."""
    clips = {f"videos/cap_1_{n:05d}.mp4": dict(CRASH if n % 3 else CALM) for n in range(CLIPS)}
    for number, told in enumerate(clips.values()):
        if number % 300 == 1:
            told["crash_localization"] = "2.0 - 2.0 seconds"
        if number % 400 == 2:
            told["crash_localization"] = "soon"
    return write(tmp_path / "files", clips)


@contextmanager
def process(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Django's command line in a process of its own, on this test's database; killed when the block ends."""
    given = connection.settings_dict
    address = f"{given['HOST']}:{given['PORT']}/{given['NAME']}"
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
        "DJANGO_SETTINGS_MODULE": "crashdesk.settings",
        "CRASHDESK_DATABASE_URL": f"postgresql://{given['USER']}:{given['PASSWORD']}@{address}",
        "CRASHDESK_STORAGE_URL": str(settings.STORAGE_LOCATION),
    }
    command = [sys.executable, "-m", "django", *arguments]
    with subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def content(corpus: str) -> dict[str, Any]:
    """All that an import has written into a corpus, without ids and times."""
    answers = Answer.objects.filter(case__corpus__name=corpus)
    cases = Case.objects.filter(corpus__name=corpus)
    videos = Video.objects.filter(corpus__name=corpus)
    findings = VideoFinding.objects.filter(video__in=videos)
    created = AuditEvent.objects.filter(verb="case.created", subject_id__in=cases.values("pk"))
    return {
        "videos": sorted(videos.values_list("name", "source", "recording", "recording_origin")),
        "cases": sorted(cases.values_list("video__name", "status", "lacks_media")),
        "answers": sorted(
            answers.values_list("case__video__name", "kind", "state", "raw_text", "origin", "prompt_version")
        ),
        "records": sorted(
            SourceRecord.objects.filter(video__in=videos).values_list("video__name", "file", "row")
        ),
        "findings": sorted(findings.values_list("video__name", "code", "subject", "message")),
        "created": sorted(created.values("subject_id").annotate(n=Count("pk")).values_list("n", flat=True)),
    }


def through_at_once(files: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the import writes and reports when nobody disturbs it."""
    run = begin_import(corpus_name="at once", format="crashchat", path=files, by=None)
    report = run_import(run.pk, progress=lambda done, total, message: None)
    return content("at once"), report


def wait_until_written(answers: int, child: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 60
    while Answer.objects.count() < answers:
        assert child.poll() is None, "it went through before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_command_is_simply_started_again(files: Path) -> None:
    command = ("import_corpus", "killed", "crashchat", str(files))
    with process(*command) as first:
        wait_until_written(1000, first)
        first.kill()
        assert first.wait() == -9
    half = Answer.objects.count()
    assert ImportRun.objects.get().finished_at is None
    with process(*command) as again:
        _, errors = again.communicate(timeout=60)
        assert again.returncode == 0, errors
    expected, report = through_at_once(files)
    assert content("killed") == expected
    assert 0 < half < len(expected["answers"])
    second = ImportRun.objects.filter(corpus__name="killed").latest("pk").report
    absent = second["answers"]["new_absent"]
    assert (second["rows"], second["rejected"]) == (report["rows"], report["rejected"])
    assert second["answers"]["known"] == half
    assert second["answers"]["new"] + half + absent == len(expected["answers"])


def test_the_job_of_a_killed_worker_goes_on_and_reports_as_if_nothing_had_been(files: Path) -> None:
    run = begin_import(corpus_name="killed", format="crashchat", path=files, by=None)
    job = enqueue("import", {"import_run_id": run.pk}, by=None)
    with process("shell", "--no-imports", "-c", WORKER) as worker:
        wait_until_written(1000, worker)
        worker.kill()
        assert worker.wait() == -9
    job.refresh_from_db()
    assert job.state == JobState.RUNNING
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    assert revive_expired() == 1
    with process("shell", "--no-imports", "-c", WORKER) as worker:
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors
    job.refresh_from_db()
    assert (job.state, job.attempts) == (JobState.DONE, 2)
    expected, report = through_at_once(files)
    assert content("killed") == expected
    run.refresh_from_db()
    assert run.finished_at is not None
    without = {"guideline", "prompts"}
    assert {k: v for k, v in run.report.items() if k not in without} == {
        k: v for k, v in report.items() if k not in without
    }
    assert (
        run.rejections.count()
        == report["rejected"]
        == Corpus.objects.get(name="at once").imports.get().rejections.count()
    )
