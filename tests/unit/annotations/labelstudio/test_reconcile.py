"""Whatever happened to Label Studio behind our back is named, and put right where that can be done."""

import copy
from typing import Any

import pytest

from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.corpora.models import VideoFinding
from annotations.labelstudio import repairs
from annotations.labelstudio.discrepancies import KINDS, ReconcileReport, last_report
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import ensure_project
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import push_cases
from annotations.labelstudio.reconcile import reconcile
from annotations.reviews.models import Review, ReviewOutcome
from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from tests.factories import make_case, make_user, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio

ANN = 11


@pytest.fixture
def ann(studio: FakeLabelStudio, db: None) -> User:
    person = make_user()
    studio.users = [*studio.users, {"id": ANN, "email": person.email}]
    return person


@pytest.fixture
def case(project: LabelStudioProject, studio: FakeLabelStudio) -> Case:
    return shown_case(project, studio)


def shown_case(project: LabelStudioProject, studio: FakeLabelStudio) -> Case:
    case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    return case


def drawn(studio: FakeLabelStudio, case: Case) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = copy.deepcopy(studio.task_of(case.pk)["predictions"][0]["result"])
    return result


def pull(project: LabelStudioProject, studio: FakeLabelStudio, **options: Any) -> int:
    studio.later(30)
    return pull_project(project, client=studio, **options).changes


def compared(
    project: LabelStudioProject, studio: FakeLabelStudio, *, repair: bool = False
) -> ReconcileReport:
    studio.later(30)
    return reconcile(project, client=studio, by=None, repair=repair)


def codes(report: ReconcileReport) -> list[str]:
    return [one.code.removeprefix("labelstudio_") for one in report.found]


def settled(project: LabelStudioProject, studio: FakeLabelStudio, code: str) -> None:
    """The discrepancy is named, repaired, and then gone; and a poll finds nothing that it would take for news."""
    report = compared(project, studio)
    assert (codes(report), len(report.open)) == ([code], 1)
    report = compared(project, studio, repair=True)
    assert (codes(report), report.open) == ([code], [])
    assert codes(compared(project, studio)) == []
    assert pull(project, studio, full=True) == 0


def status(case: Case) -> str:
    case.refresh_from_db()
    return case.status


def people_answers() -> int:
    return Answer.objects.filter(author_kind=AuthorKind.PERSON).count()


def test_where_both_sides_agree_nothing_is_found(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    pull(project, studio)
    report = compared(project, studio, repair=True)
    assert (report.found, report.tasks, report.annotations, report.taken_in) == ([], 1, 1, 0)
    assert project.checked_at is not None
    assert not AuditEvent.objects.filter(verb="labelstudio.reconciled").exists()


def test_a_deleted_project(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    done = shown_case(project, studio)
    studio.annotate(done.pk, drawn(studio, done))
    pull(project, studio)
    studio.projects.clear()
    studio.all_tasks.clear()
    assert codes(compared(project, studio)) == ["project_gone"]
    assert status(case) == CaseStatus.IN_REVIEW
    report = compared(project, studio, repair=True)
    assert report.open == []
    assert (status(case), status(done)) == (CaseStatus.PREDICTED, CaseStatus.SUBMITTED)
    again = ensure_project(corpus=project.corpus, guideline=project.guideline, by=None, client=studio)
    assert push_cases(again, client=studio, by=None).pushed == 1
    assert codes(compared(again, studio)) == []
    event = AuditEvent.objects.filter(verb="labelstudio.reconciled").latest("pk")
    assert event.data == {"repair": True, "found": {"labelstudio_project_gone": 1}, "open": 0}


def test_somebody_elses_project_under_our_number_is_not_touched(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.projects[project.linked_id]["description"] = "My own experiments"
    studio.all_tasks.clear()
    report = compared(project, studio, repair=True)
    assert codes(report) == ["project_foreign"]
    assert len(report.open) == 1
    assert status(case) == CaseStatus.IN_REVIEW


def test_a_deleted_task(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    studio.all_tasks.clear()
    settled(project, studio, "task_gone")
    assert status(case) == CaseStatus.PREDICTED
    assert push_cases(project, client=studio, by=None).pushed == 1
    assert LabelStudioTask.objects.get().task_id == studio.task_of(case.pk)["id"]


def test_a_used_again_task_number(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    data = studio.task_of(case.pk)["data"]
    data["case_id"], data["external_id"] = None, "somebody's"
    report = compared(project, studio, repair=True)
    assert (codes(report), report.open) == (["task_reused"], [])
    assert status(case) == CaseStatus.PREDICTED
    assert codes(compared(project, studio)) == ["task_foreign"]


def test_a_copied_task_is_deleted(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    task = studio.task_of(case.pk)
    studio._import(project.linked_id, [{"data": copy.deepcopy(task["data"]), "predictions": []}])
    settled(project, studio, "task_duplicate")
    assert list(studio.all_tasks) == [task["id"]]


def test_of_two_tasks_the_answered_one_counts(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    task, result = studio.task_of(case.pk), drawn(studio, case)
    studio._import(project.linked_id, [{"data": copy.deepcopy(task["data"]), "predictions": []}])
    twin = studio.all_tasks[max(studio.all_tasks)]
    studio._add_annotation(twin["id"], {"result": result, "was_cancelled": False})
    assert pull(project, studio) == 0
    assert "second time" in VideoFinding.objects.get().message
    report = compared(project, studio, repair=True)
    assert (codes(report), report.open) == (["task_duplicate"], [])
    assert codes(compared(project, studio)) == []
    pull(project, studio, full=True)
    assert Review.objects.get().outcome == ReviewOutcome.SUBMITTED
    assert (list(studio.all_tasks), VideoFinding.objects.count()) == ([twin["id"]], 0)


def test_two_answered_tasks_need_a_person(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    task, result = studio.task_of(case.pk), drawn(studio, case)
    studio.annotate(case.pk, result)
    pull(project, studio)
    studio._import(project.linked_id, [{"data": copy.deepcopy(task["data"]), "predictions": []}])
    twin = max(studio.all_tasks)
    studio._add_annotation(twin, {"result": result[:-1], "was_cancelled": False})
    report = compared(project, studio, repair=True)
    assert (codes(report), len(report.open)) == (["task_duplicate"], 1)
    assert len(studio.all_tasks) == 2
    assert Review.objects.count() == 1


@pytest.mark.parametrize(("name", "value"), [("fps", 24), ("video", "/data/local-files/?d=other.mp4")])
def test_edited_task_data(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, name: str, value: Any
) -> None:
    studio.task_of(case.pk)["data"][name] = value
    annotation = studio.annotate(case.pk, drawn(studio, case))
    report = compared(project, studio, repair=True)
    assert (codes(report), report.open) == (["data_changed"], [])
    assert studio.task_of(case.pk)["data"][name] != value
    assert codes(compared(project, studio)) == ["distrusted"]  # made when the frames meant other moments
    assert not Review.objects.exists()
    studio.edit(case.pk, annotation)
    assert pull(project, studio) == 1
    assert codes(compared(project, studio)) == []


def test_edited_task_data_after_the_answer_came_home(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    pull(project, studio)
    studio.task_of(case.pk)["data"]["fps"] = 24
    settled(project, studio, "data_changed")


def test_an_edited_form(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    other = shown_case(project, studio)
    studio.annotate(other.pk, drawn(studio, other))
    pull(project, studio)
    shown = studio.projects[project.linked_id]
    ours = shown["label_config"]
    shown["label_config"] = ours.replace('"$fps"', '"25"')
    annotation = studio.annotate(case.pk, drawn(studio, case))
    report = compared(project, studio, repair=True)
    assert "form_changed" in codes(report)
    assert shown["label_config"] == ours
    assert codes(compared(project, studio)) == ["distrusted"]
    assert [status(one) for one in (case, other)] == [CaseStatus.IN_REVIEW, CaseStatus.SUBMITTED]
    studio.edit(case.pk, annotation)
    assert pull(project, studio) == 1
    assert status(case) == CaseStatus.SUBMITTED


def test_a_reworded_form(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    shown = studio.projects[project.linked_id]
    shown["label_config"] = shown["label_config"].replace("Why did it happen?", "Warum?")
    settled(project, studio, "form_dressed")


def test_a_change_that_no_poll_saw(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    stamp = studio.task_of(case.pk)["updated_at"]
    studio.later(60)
    pull(project, studio)
    studio.annotate(case.pk, drawn(studio, case))
    studio.task_of(case.pk)["updated_at"] = stamp  # Label Studio was killed before it wrote the task's time
    assert pull(project, studio) == 0
    report = compared(project, studio)
    assert (codes(report), report.open, report.taken_in) == (["missed"], [], 1)
    assert status(case) == CaseStatus.SUBMITTED


# --- an older database ------------------------------------------------------------------------------------------


def test_lost_annotations_are_given_back(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User
) -> None:
    skipped = shown_case(project, studio)
    older = copy.deepcopy(studio.all_tasks)
    studio.annotate(case.pk, drawn(studio, case)[:-1], by=ANN)
    studio.annotate(skipped.pk, [], by=ANN, skip=True)
    pull(project, studio)
    before = (people_answers(), Review.objects.count(), status(case))
    studio.all_tasks = older
    report = compared(project, studio)
    assert codes(report) == ["went_back", "went_back"]
    report = compared(project, studio, repair=True)
    assert (codes(report), report.open) == (["went_back", "went_back"], [])
    (annotation,) = studio.task_of(case.pk)["annotations"]
    assert annotation["result"] == drawn(studio, case)[:-1]
    assert annotation["completed_by"] == ANN
    assert studio.task_of(skipped.pk)["annotations"][0]["was_cancelled"] is True
    assert codes(compared(project, studio)) == []
    assert pull(project, studio, full=True) == 0
    assert (people_answers(), Review.objects.count(), status(case)) == before
    studio.edit(case.pk, annotation, result=drawn(studio, case), updated_by=ANN)
    studio.task_of(case.pk)["annotations"][0].update(annotation)
    assert pull(project, studio, full=True) == 1  # and it is still the same review
    assert Review.objects.filter(case=case).count() == 1


def test_a_repair_that_was_killed_posts_nothing_twice(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    older = copy.deepcopy(studio.all_tasks)
    studio.annotate(case.pk, drawn(studio, case))
    pull(project, studio)
    studio.all_tasks = older
    studio.break_after = "/annotations"
    with pytest.raises(KeyboardInterrupt):
        compared(project, studio, repair=True)
    report = compared(project, studio, repair=True)
    assert report.open == []
    assert len(studio.task_of(case.pk)["annotations"]) == 1
    assert Review.objects.filter(outcome=ReviewOutcome.SUBMITTED).count() == 1
    assert codes(compared(project, studio)) == []


def test_an_older_annotation_is_brought_up_to_date(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    older = copy.deepcopy(studio.all_tasks)
    studio.edit(case.pk, annotation, result=drawn(studio, case)[:-1])
    pull(project, studio)
    studio.all_tasks = older
    settled(project, studio, "went_back")
    assert studio.task_of(case.pk)["annotations"][0]["result"] == drawn(studio, case)[:-1]


def test_what_was_deleted_is_deleted_again(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    pull(project, studio)
    older = copy.deepcopy(studio.all_tasks)
    studio.delete_annotation(case.pk, annotation)
    pull(project, studio)
    studio.all_tasks = older
    settled(project, studio, "went_back")
    assert studio.task_of(case.pk)["annotations"] == []
    assert Review.objects.get().outcome == ReviewOutcome.WITHDRAWN


def test_a_new_annotation_under_a_lost_ones_number(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case), by=ANN)
    pull(project, studio)
    now = studio.later()
    annotation |= {"created_at": now, "updated_at": now, "result": drawn(studio, case)[:-1]}
    studio.task_of(case.pk)["updated_at"] = now
    report = compared(project, studio, repair=True)
    assert (codes(report), report.open) == (["went_back"], [])
    assert len(studio.task_of(case.pk)["annotations"]) == 2
    assert codes(compared(project, studio)) == []
    assert Review.objects.filter(outcome=ReviewOutcome.SUBMITTED).count() == 2
    assert LabelStudioAnnotation.objects.count() == 2


def test_an_annotation_taken_in_before_copies_were_kept_is_drawn_from_its_answers(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = copy.deepcopy(studio.all_tasks)
    studio.annotate(case.pk, drawn(studio, case))
    pull(project, studio)
    LabelStudioAnnotation.objects.update(result=None)
    studio.all_tasks = older
    settled(project, studio, "went_back")
    values = {region["id"]: region["value"] for region in studio.task_of(case.pk)["annotations"][0]["result"]}
    assert values == {region["id"]: region["value"] for region in drawn(studio, case)}
    assert repairs.NAMESPACE.version == 4


def test_what_people_must_decide_stays_open(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    pull(project, studio)
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    report = compared(project, studio, repair=True)
    assert (codes(report), len(report.open)) == (["two_people"], 1)
    assert KINDS[report.found[0].code].repair == ""
    project.refresh_from_db()
    assert last_report(project) == report.found
    assert project.check_report["open"] == 1


def test_a_refusal_on_a_task_that_is_gone_is_forgotten(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    pull(project, studio)
    assert VideoFinding.objects.count() == 1
    studio.all_tasks.clear()
    compared(project, studio, repair=True)
    assert not VideoFinding.objects.exists()
