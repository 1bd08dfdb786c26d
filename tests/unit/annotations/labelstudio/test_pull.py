"""What people did in Label Studio, brought home exactly once."""

import copy
from typing import Any

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.corpora.models import VideoFinding
from annotations.labelstudio import taking
from annotations.labelstudio.client import LabelStudioRefused
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.pull import PullReport, changed_tasks, pull_project
from annotations.labelstudio.push import push_cases, unlink
from annotations.labelstudio.tasks import poll
from annotations.reviews.decisions import approve, return_case
from annotations.reviews.models import Review, ReviewOutcome
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from tests.factories import make_case, make_user, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio


@pytest.fixture
def case(project: LabelStudioProject, studio: FakeLabelStudio) -> Case:
    """A case on show in Label Studio."""
    case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    return case


def pulled(project: LabelStudioProject, studio: FakeLabelStudio, **options: Any) -> PullReport:
    studio.later(30)
    return pull_project(project, client=studio, **options)


def drawn(studio: FakeLabelStudio, case: Case) -> list[dict[str, Any]]:
    """The drafts as the reviewer's editor copies them."""
    result: list[dict[str, Any]] = copy.deepcopy(studio.task_of(case.pk)["predictions"][0]["result"])
    return result


def with_end(result: list[dict[str, Any]], frame: int) -> list[dict[str, Any]]:
    for region in result:
        if region["value"].get("timelinelabels") == ["Crash"]:
            region["value"]["ranges"][0]["end"] = frame
    return result


def status(case: Case) -> str:
    case.refresh_from_db()
    return case.status


def person_answers() -> list[tuple[str, Any]]:
    return [(answer.kind, answer.value) for answer in Answer.objects.filter(author_kind=AuthorKind.PERSON)]


def test_an_untouched_draft_comes_home_as_itself(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    assert pulled(project, studio).submitted == 1
    assert person_answers() == []
    review = Review.objects.get()
    assert (review.outcome, review.lead_seconds, review.problems) == (ReviewOutcome.SUBMITTED, 7.5, [])
    assert review.answers.count() == 6
    assert status(case) == CaseStatus.SUBMITTED


def test_a_moved_edge_is_exactly_that_frames_time(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, with_end(drawn(studio, case), 108))
    pulled(project, studio)
    assert person_answers() == [(Kind.CRASH_LOCALIZATION, {"start_us": 2_000_000, "end_us": 3_600_000})]


def test_polling_again_changes_nothing_and_asks_only_for_news(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, with_end(drawn(studio, case), 108))
    pulled(project, studio)
    before = (Review.objects.count(), Answer.objects.count())
    assert pulled(project, studio).changes == 0
    assert pulled(project, studio, full=True).changes == 0
    assert (Review.objects.count(), Answer.objects.count()) == before


def test_an_edit_is_a_new_revision(project: LabelStudioProject, studio: FakeLabelStudio, case: Case) -> None:
    annotation = studio.annotate(case.pk, with_end(drawn(studio, case), 108))
    pulled(project, studio)
    studio.edit(case.pk, annotation, result=with_end(drawn(studio, case), 111))
    assert pulled(project, studio).submitted == 1
    assert [value["end_us"] for _, value in person_answers()] == [3_600_000, 3_700_000]
    (review,) = Review.objects.all()
    assert review.answers.get(kind=Kind.CRASH_LOCALIZATION).value["end_us"] == 3_700_000  # type: ignore[index]


def test_a_returned_case_is_submitted_again_even_without_a_change(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, lead: User
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    studio.edit(case.pk, annotation)  # saved twice before the return: not an answer to it
    pulled(project, studio)
    return_case(case=case, reason="sure?", by=lead)
    assert pulled(project, studio, full=True).changes == 0
    assert status(case) == CaseStatus.RETURNED
    studio.edit(case.pk, annotation)
    assert pulled(project, studio).submitted == 1
    assert status(case) == CaseStatus.SUBMITTED


def test_a_skip_leaves_the_case_in_review(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, [], skip=True)
    assert pulled(project, studio).skipped == 1
    assert status(case) == CaseStatus.IN_REVIEW
    studio.edit(case.pk, annotation, was_cancelled=False, result=drawn(studio, case))
    assert pulled(project, studio).submitted == 1
    assert Review.objects.get().outcome == ReviewOutcome.SUBMITTED


def test_a_deleted_annotation_is_withdrawn(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    studio.delete_annotation(case.pk, annotation)
    assert pulled(project, studio).withdrawn == 1
    assert status(case) == CaseStatus.IN_REVIEW
    assert pulled(project, studio, full=True).withdrawn == 0
    assert LabelStudioAnnotation.objects.get().deleted_at is not None


def test_deleting_after_approval_leaves_the_case_approved(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, lead: User
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    approve(case=case, by=lead)
    studio.delete_annotation(case.pk, annotation)
    pulled(project, studio)
    assert status(case) == CaseStatus.APPROVED


def test_garbage_is_named_on_its_review_and_spares_the_rest(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    other = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    studio.annotate(case.pk, [*with_end(drawn(studio, case), 5), {"from_name": "mood", "value": {}}])
    studio.annotate(other.pk, drawn(studio, other))
    assert pulled(project, studio).submitted == 2
    review = case.reviews.get()
    assert sorted(problem["code"] for problem in review.problems) == ["range_outside", "region_unknown"]
    assert status(other) == CaseStatus.SUBMITTED


def test_what_a_service_refuses_becomes_a_finding_on_the_clip(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Review:
        raise Problem("invalid_answer", "the text is far too long")

    monkeypatch.setattr(taking, "record_submission", refuse)
    studio.annotate(case.pk, drawn(studio, case))
    report = pulled(project, studio)
    assert [refused["code"] for refused in report.refused] == ["invalid_answer"]
    assert "far too long" in VideoFinding.objects.get().message


def test_the_finding_goes_when_the_annotation_is_taken_or_deleted(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> Review:
        raise Problem("invalid_answer", "the text is far too long")

    annotation = studio.annotate(case.pk, drawn(studio, case))
    with monkeypatch.context() as patch:
        patch.setattr(taking, "record_submission", refuse)
        pulled(project, studio)
        assert VideoFinding.objects.count() == 1
        studio.delete_annotation(case.pk, annotation)
        pulled(project, studio)
        assert not VideoFinding.objects.exists()
        annotation = studio.annotate(case.pk, drawn(studio, case))
        pulled(project, studio)
        assert VideoFinding.objects.count() == 1
    studio.edit(case.pk, annotation)
    assert pulled(project, studio).submitted == 1
    assert not VideoFinding.objects.exists()


def test_a_server_that_fails_half_way_loses_no_submission(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    real = studio._answer

    def broken(method: str, path: str, *args: Any) -> Any:
        if path == "/api/users":
            raise studio._refuse(502, "bad gateway")
        return real(method, path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(studio, "_answer", broken)
        with pytest.raises(LabelStudioRefused):
            pulled(project, studio)
    project.refresh_from_db()
    assert project.polled_until is None
    assert not VideoFinding.objects.exists()
    assert pulled(project, studio).submitted == 1
    assert status(case) == CaseStatus.SUBMITTED


def test_a_bug_on_one_task_is_tried_again_and_stops_nobody_else(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    broken = studio.annotate(case.pk, drawn(studio, case))
    stamp, broken["created_at"] = broken["created_at"], None
    studio.annotate(other.pk, drawn(studio, other))
    assert pulled(project, studio).submitted == 1
    project.refresh_from_db()
    assert project.polled_until is None
    broken["created_at"] = stamp
    assert pulled(project, studio).submitted == 1


def test_people_are_matched_by_address(project: LabelStudioProject, studio: FakeLabelStudio) -> None:
    known = make_user(Role.REVIEWER)
    studio.users = [
        *studio.users, {"id": 2, "email": known.email.upper()}, {"id": 3, "email": "ann@elsewhere.example"}
    ]  # fmt: skip
    for person in (1, 2, 3, None, 99):
        case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
        push_cases(project, client=studio, by=None)
        studio.annotate(case.pk, drawn(studio, case), by=person)
    pulled(project, studio)
    names = [review.reviewer.username for review in Review.objects.order_by("case")]
    assert names == ["labelstudio", known.username, "ann@elsewhere.example", "labelstudio", "labelstudio"]
    stranger = User.objects.get(username="ann@elsewhere.example")
    assert (stranger.role, stranger.has_usable_password()) == (Role.ANNOTATOR, False)
    assert studio.calls.count("GET /api/users") == 2  # once, and once more for the one nobody knows


def test_a_task_that_went_after_it_was_listed_is_not_adopted(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    page = changed_tasks(project, studio)
    assert page.tasks
    studio.all_tasks.clear()
    unlink(LabelStudioTask.objects.get())
    assert pull_project(project, client=studio, changed=lambda: page).submitted == 0
    assert LabelStudioTask.objects.get().task_id is None


def test_a_task_of_an_interrupted_push_is_adopted(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    LabelStudioTask.objects.update(task_id=None)
    Case.objects.filter(pk=case.pk).update(status="predicted")
    studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    assert LabelStudioTask.objects.get().task_id == studio.task_of(case.pk)["id"]
    assert status(case) == CaseStatus.SUBMITTED


def test_a_submission_that_overtakes_its_push_is_held_against_its_drafts(
    project: LabelStudioProject, studio: FakeLabelStudio
) -> None:
    case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    studio.break_after = "/import"
    with pytest.raises(KeyboardInterrupt):
        push_cases(project, client=studio, by=None)
    studio.annotate(case.pk, with_end(drawn(studio, case), 108))
    assert pulled(project, studio).submitted == 1
    (answer,) = Answer.objects.filter(author_kind=AuthorKind.PERSON)
    assert (answer.kind, answer.draft) == (
        Kind.CRASH_LOCALIZATION,
        case.answers.get(kind=Kind.CRASH_LOCALIZATION, author_kind=AuthorKind.MODEL),
    )


def test_strange_tasks_are_left_alone(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    twin = {"data": studio.task_of(case.pk)["data"] | {"name": "a copy"}, "predictions": []}
    studio._import(project.linked_id, [{"data": {"name": "mine"}, "predictions": []}])
    studio._import(project.linked_id, [twin])
    studio.all_tasks[max(studio.all_tasks)]["annotations"] = [
        {"id": 5, "updated_at": studio.later(), "result": []}
    ]
    assert pulled(project, studio).changes == 0


def test_a_vanished_task_lets_its_case_be_pushed_again(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    pulled(project, studio)
    studio.all_tasks.clear()
    assert pulled(project, studio, full=True).vanished == 1
    assert status(case) == CaseStatus.PREDICTED
    assert push_cases(project, client=studio, by=None).pushed == 1
    assert LabelStudioTask.objects.get().task_id == studio.task_of(case.pk)["id"]


def test_what_was_submitted_survives_its_tasks_deletion(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    studio.all_tasks.clear()
    pulled(project, studio, full=True)
    assert status(case) == CaseStatus.SUBMITTED
    assert Review.objects.get().outcome == ReviewOutcome.SUBMITTED


def test_a_vanished_project_is_forgotten(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.projects.clear()
    assert pulled(project, studio).changes == 0
    project.refresh_from_db()
    assert project.project_id is None
    assert pulled(project, studio).changes == 0


def test_the_poll_asks_nobody_when_there_are_no_projects(db: None, studio: FakeLabelStudio) -> None:
    assert poll() == 0
    assert studio.calls == []


def test_the_poll_counts_changes_and_survives_a_label_studio_that_is_down(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    studio.down = True
    assert poll() == 0
    studio.down = False
    assert poll() == 1
    studio.later(60)
    poll()
    studio.calls.clear()
    assert poll() == 0
    assert studio.calls == ["GET /api/tasks"]
