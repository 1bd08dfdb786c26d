"""The job, the command, the addresses and the timetable of comparing both sides."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.labelstudio import comparing, handlers
from annotations.labelstudio.locks import POLL, only_one
from annotations.labelstudio.management.commands import labelstudio_reconcile
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.push import push_cases
from annotations.labelstudio.tasks import check, poll
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from tests.factories import make_case, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio
from tests.unit.annotations.labelstudio.test_api import as_user, performed


@pytest.fixture
def case(project: LabelStudioProject, studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A case whose task has been deleted in Label Studio."""
    monkeypatch.setattr(comparing, "client", lambda: studio)
    monkeypatch.setattr(labelstudio_reconcile, "client", lambda: studio)
    case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    studio.all_tasks.clear()
    return case


def said(**options: Any) -> str:
    output = StringIO()
    call_command("labelstudio_reconcile", stdout=output, **options)
    return output.getvalue()


def test_the_job_reports_and_repairs(project: LabelStudioProject, case: Case, lead: User) -> None:
    for repair, left in ((False, 1), (True, 0)):
        asked = {"project": project.pk, "repair": repair}
        response = as_user(lead).post("/api/labelstudio/reconcile", asked)
        assert response.status_code == 202, response.json()
        job = performed()
        assert job.state == JobState.DONE, job.error
        assert job.result["projects"][str(project.pk)]["open"] == left
    shown = as_user(lead).get(f"/api/labelstudio/projects/{project.pk}/reconciliation").json()
    assert (shown["found"], shown["open"], shown["due"]) == (1, 0, False)
    (one,) = shown["discrepancies"]
    assert (one["code"], one["case_id"], one["title"]) == ("labelstudio_task_gone", case.pk, "Task deleted")
    assert one["settled"] == "the case waits for the next push"
    assert "database went back" in one["meaning"]


def test_only_whoever_may_sync_reconciles_and_reads_what_names_people(
    project: LabelStudioProject, case: Case, annotator: User, lead: User
) -> None:
    address = f"/api/labelstudio/projects/{project.pk}/reconciliation"
    assert as_user(annotator).post("/api/labelstudio/reconcile", {}).status_code == 403
    assert as_user(annotator).get(address).status_code == 403
    assert as_user(lead).get("/api/labelstudio/projects/99/reconciliation").status_code == 404
    shown = as_user(lead).get(address).json()
    assert (shown["checked_at"], shown["discrepancies"]) == (None, [])


def test_the_job_waits_for_the_poll(
    project: LabelStudioProject, case: Case, lead: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    locks = {POLL: iter([False, True])}
    real = comparing.only_one

    def lock(number: int) -> Any:
        return real(number) if next(locks.get(number, iter([True]))) else NotAlone()

    monkeypatch.setattr(comparing, "only_one", lock)
    monkeypatch.setattr("time.sleep", waited.append)
    as_user(lead).post("/api/labelstudio/reconcile", {})
    assert performed().state == JobState.DONE
    assert waited.count(handlers.PAUSE_SECONDS) == 1  # other threads may sleep, too


class NotAlone:
    def __enter__(self) -> bool:
        return False

    def __exit__(self, *error: object) -> None:
        """Nothing is held."""


def test_the_command_says_what_is_wrong_and_puts_it_right(project: LabelStudioProject, case: Case) -> None:
    with pytest.raises(CommandError, match=r"1 disagreements are left.* --repair"):
        said()
    told = said(repair=True)
    assert "Task deleted (1)." in told
    assert "[the case waits for the next push]" in told
    case.refresh_from_db()
    assert case.status == CaseStatus.PREDICTED
    assert "0 disagreements." in said(project=project.project_id)
    with pytest.raises(CommandError, match="no such project"):
        said(project=10**6)


def test_the_command_waits_no_longer_than_a_minute(
    project: LabelStudioProject, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labelstudio_reconcile, "only_one", lambda _: NotAlone())
    monkeypatch.setattr(labelstudio_reconcile, "WAIT_SECONDS", 0.0)
    with pytest.raises(CommandError, match="try again"):
        said()


def test_a_poll_that_fails_makes_a_comparison_due(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    assert check() == 0
    studio.down = True
    assert poll() == 0
    assert check() == 0  # it would only fail
    studio.down = False
    assert check() == 1
    assert check() == 0  # one waits already
    performed()
    project.refresh_from_db()
    assert (project.check_due, project.check_report["open"]) == (False, 1)
    assert check() == 0


def test_every_project_is_compared_once_a_day(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    yesterday = timezone.now() - timedelta(days=1, minutes=1)
    LabelStudioProject.objects.update(created_at=yesterday)
    assert check() == 1
    performed()
    assert check() == 0
    LabelStudioProject.objects.update(checked_at=yesterday)
    assert check() == 1
    assert Job.objects.filter(kind=comparing.RECONCILE).count() == 2


def test_a_lock_is_taken_from_nobody(db: None) -> None:
    with only_one(POLL) as alone:
        assert alone
