"""Whose answer counts, what became of the drafts, and a Label Studio that does not say what it said before."""

import copy
from typing import Any

import pytest
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.corpora.models import VideoFinding
from annotations.labelstudio.accounts.models import Member
from annotations.labelstudio.external_ids import opaque_key
from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from annotations.labelstudio.pull import pull_project
from annotations.labelstudio.push import push_cases
from annotations.labelstudio.taking import PullReport, time_of
from annotations.labelstudio.there import FormChanged
from annotations.reviews.models import (
    AnswerChange,
    Assignment,
    AssignmentState,
    Purpose,
    Review,
    ReviewOutcome,
    Way,
)
from crashdesk.accounts.models import User
from tests.factories import make_case, make_user, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio

ANN, BEN = 11, 12
"""Two people as Label Studio numbers them."""


@pytest.fixture
def ann(studio: FakeLabelStudio, db: None) -> User:
    return known_there(studio, ANN)


@pytest.fixture
def ben(studio: FakeLabelStudio, db: None) -> User:
    return known_there(studio, BEN)


@pytest.fixture
def case(project: LabelStudioProject, studio: FakeLabelStudio) -> Case:
    return shown_case(project, studio)


def known_there(studio: FakeLabelStudio, number: int) -> User:
    person = make_user()
    studio.users = [*studio.users, {"id": number, "email": person.email}]
    return person


def shown_case(project: LabelStudioProject, studio: FakeLabelStudio) -> Case:
    case = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    return case


def drawn(studio: FakeLabelStudio, case: Case) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = copy.deepcopy(studio.task_of(case.pk)["predictions"][0]["result"])
    return result


def pulled(project: LabelStudioProject, studio: FakeLabelStudio, **options: Any) -> PullReport:
    studio.later(30)
    return pull_project(project, client=studio, **options)


def codes(report: PullReport) -> list[str]:
    return [refused["code"] for refused in report.refused]


def ask(case: Case, person: User, purpose: Purpose = Purpose.ANNOTATE) -> Assignment:
    return Assignment.objects.create(case=case, person=person, purpose=purpose, way=Way.MANUAL)


def reviewers(case: Case) -> list[User]:
    return [review.reviewer for review in case.reviews.order_by("id")]


# --- what became of the drafts --------------------------------------------------------------------------------


def test_each_draft_is_accepted_edited_rewritten_or_removed(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    result = [region for region in drawn(studio, case) if region["id"] != Kind.PREVENTION_REASONING]
    by_id = {region["id"]: region for region in result}
    by_id[Kind.CRASH_LOCALIZATION]["value"]["ranges"][0]["end"] = 120  # 3.5 s to 4 s
    by_id[Kind.CRASH_LOCALIZATION]["origin"] = "prediction"  # as Label Studio says even after a drag
    by_id[Kind.CAUSAL_REASONING] |= {"id": "fresh", "value": {"text": ["Ice."]}}
    studio.annotate(case.pk, result)
    pulled(project, studio)
    found = {change.kind: change for change in AnswerChange.objects.all()}
    assert {kind: change.change for kind, change in found.items()} == {
        Kind.CRASH_RECOGNITION: "accepted",
        Kind.CRASH_DESCRIPTION: "accepted",
        Kind.CAUSAL_REASONING: "rewritten",
        Kind.PREVENTION_REASONING: "removed",
        Kind.CRASH_LOCALIZATION: "edited",
        Kind.PRE_CRASH_LOCALIZATION: "accepted",
    }
    span = found[Kind.CRASH_LOCALIZATION]
    assert (span.start_shift_us, span.end_shift_us, span.distance) == (0, 500_000, 0.25)


def test_what_cannot_be_read_is_no_change_and_an_edit_replaces_the_earlier_ones(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    result = drawn(studio, case)
    for region in result:
        if region["id"] == Kind.CRASH_LOCALIZATION:
            region["value"]["ranges"][0]["end"] = 1
    annotation = studio.annotate(case.pk, result)
    pulled(project, studio)
    assert not AnswerChange.objects.filter(kind=Kind.CRASH_LOCALIZATION).exists()
    assert AnswerChange.objects.count() == 5
    studio.edit(case.pk, annotation, result=drawn(studio, case))
    pulled(project, studio)
    assert set(AnswerChange.objects.values_list("change", flat=True)) == {"accepted"}
    assert AnswerChange.objects.count() == 6


def test_where_nothing_was_shown_nothing_was_changed(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    result = drawn(studio, case)
    LabelStudioTask.objects.update(shown_answers={})
    studio.annotate(case.pk, result)
    pulled(project, studio)
    assert not AnswerChange.objects.exists()
    assert Answer.objects.filter(author_kind=AuthorKind.PERSON).count() == 6


# --- whose answer it is ---------------------------------------------------------------------------------------


def test_a_second_person_on_one_task_is_raised_and_changes_nothing(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    pulled(project, studio)
    second = studio.annotate(case.pk, [*drawn(studio, case)[1:]], by=BEN)
    report = pulled(project, studio)
    assert (report.submitted, codes(report)) == (0, ["labelstudio_two_people"])
    assert reviewers(case) == [ann]
    finding = VideoFinding.objects.get()
    assert ann.username in finding.message
    assert ben.username in finding.message
    ask(case, ben, Purpose.SECOND)  # a lead decides that it counts
    assert pulled(project, studio, full=True).submitted == 1
    assert reviewers(case) == [ann, ben]
    assert not VideoFinding.objects.exists()
    studio.delete_annotation(case.pk, second)
    assert pulled(project, studio).withdrawn == 1


def test_both_at_once_the_first_one_counts(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    report = pulled(project, studio)
    assert (report.submitted, codes(report)) == (1, ["labelstudio_two_people"])
    assert reviewers(case) == [ben]


def test_an_assigned_case_takes_no_answer_of_somebody_else(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    ask(case, ann)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    assert codes(pulled(project, studio)) == ["labelstudio_wrong_person"]
    assert not Review.objects.exists()
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert pulled(project, studio).submitted == 1
    assert reviewers(case) == [ann]


def test_a_task_of_one_assignment_is_that_persons_alone(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    mine = ask(case, ann, Purpose.DOUBLE)
    row = LabelStudioTask.objects.get()
    row.assignment, row.external_id = mine, opaque_key(case.pk, mine.pk)
    row.save()
    studio.task_of(case.pk)["data"]["external_id"] = row.external_id
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    assert codes(pulled(project, studio)) == ["labelstudio_wrong_person"]
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert pulled(project, studio).submitted == 1
    review = Review.objects.get()
    assert (review.reviewer, review.assignment) == (ann, mine)


def closed(assignment: Assignment, state: AssignmentState) -> None:
    assignment.state, assignment.closed_at = state, timezone.now()
    assignment.save()


def test_a_late_answer_counts_until_the_next_person_has_begun(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    late = ask(case, ann)
    closed(late, AssignmentState.EXPIRED)
    following = ask(case, ben)
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    following.opened_at = timezone.now()
    following.save()
    assert codes(pulled(project, studio)) == ["labelstudio_wrong_person"]
    following.opened_at = None
    following.save()
    assert pulled(project, studio, full=True).submitted == 1
    late.refresh_from_db()
    following.refresh_from_db()
    assert (late.state, following.state) == (AssignmentState.DONE, AssignmentState.RELEASED)
    assert Review.objects.get().assignment == late


def test_who_answered_a_returned_case_yields_to_who_has_it_now(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    ask(case, ann)
    annotation = studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert pulled(project, studio).submitted == 1
    again = ask(case, ben)
    studio.edit(case.pk, annotation, result=drawn(studio, case)[:-1])
    assert codes(pulled(project, studio)) == ["labelstudio_wrong_person"]
    closed(again, AssignmentState.RELEASED)
    assert pulled(project, studio, full=True).submitted == 1


def test_a_late_answer_in_ones_own_task_counts(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User
) -> None:
    mine = ask(case, ann, Purpose.DOUBLE)
    LabelStudioTask.objects.update(assignment=mine, external_id=opaque_key(case.pk, mine.pk))
    studio.task_of(case.pk)["data"]["external_id"] = opaque_key(case.pk, mine.pk)
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    closed(mine, AssignmentState.RELEASED)
    assert codes(pulled(project, studio)) == ["labelstudio_assignment_ended"]
    closed(mine, AssignmentState.EXPIRED)
    assert pulled(project, studio, full=True).submitted == 1
    mine.refresh_from_db()
    assert (mine.state, Review.objects.get().purpose) == (AssignmentState.DONE, Purpose.DOUBLE)


def test_whoever_has_a_task_of_their_own_answers_there(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User
) -> None:
    ask(case, ann, Purpose.DOUBLE)
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert codes(pulled(project, studio)) == ["labelstudio_wrong_task"]


def test_an_edit_of_somebody_elses_annotation_is_raised_unless_they_were_asked(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case), by=ANN)
    pulled(project, studio)
    studio.edit(case.pk, annotation, result=drawn(studio, case)[:-1], updated_by=BEN)
    assert codes(pulled(project, studio)) == ["labelstudio_two_people"]
    assert reviewers(case) == [ann]
    ask(case, ben, Purpose.SECOND)
    assert pulled(project, studio, full=True).submitted == 1
    assert reviewers(case) == [ann, ben]  # a review of their own: the first one's words stay theirs
    assert pulled(project, studio, full=True).changes == 0


def test_anybody_may_skip_what_nobody_was_asked_to_answer(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User
) -> None:
    studio.annotate(case.pk, [], by=ANN, skip=True)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    report = pulled(project, studio)
    assert (report.skipped, report.submitted, report.refused) == (1, 1, [])


def test_a_number_given_anew_is_the_person_who_has_it_now(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ben: User
) -> None:
    before = make_user()
    Member.objects.create(user=before, generation=1, address="person-1@here.invalid", labelstudio_id=BEN)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)  # after a restore, BEN is the next who signed up
    pulled(project, studio)
    assert reviewers(case) == [ben]


def test_a_removed_accounts_work_stays_its_persons(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    gone = make_user()
    Member.objects.create(user=gone, generation=1, address="person-1@here.invalid", labelstudio_id=77)
    studio.annotate(case.pk, drawn(studio, case), by=77)
    pulled(project, studio)
    assert reviewers(case) == [gone]


# --- a task or form that is not as it was made ----------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("fps", 25), ("fps", None), ("video", "s3://elsewhere/x.mp4")])
def test_an_edited_task_gives_no_answers(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, name: str, value: Any
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    was = studio.task_of(case.pk)["data"][name]
    studio.task_of(case.pk)["data"][name] = value
    assert codes(pulled(project, studio)) == ["labelstudio_data_changed"]
    assert not Review.objects.exists()
    studio.task_of(case.pk)["data"] |= {name: was, "name": "renamed, which matters to nobody"}
    assert pulled(project, studio, full=True).submitted == 1


def test_a_changed_form_stops_the_pull_and_another_colour_does_not(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    shown = studio.projects[project.linked_id]
    ours = shown["label_config"]
    studio.annotate(case.pk, drawn(studio, case))
    shown["label_config"] = ours.replace('frameRate="$fps"', 'frameRate="25"')
    with pytest.raises(FormChanged, match="put back"):
        pulled(project, studio)
    assert not Review.objects.exists()
    shown["label_config"] = ours.replace("#D7263D", "red").replace("Is there a crash", "Crash or not")
    assert pulled(project, studio).submitted == 1


def test_what_was_saved_under_a_strange_form_must_be_saved_again(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    LabelStudioTask.objects.update(distrusted_until=time_of(annotation["updated_at"]))
    assert codes(pulled(project, studio)) == ["labelstudio_distrusted"]
    studio.edit(case.pk, annotation)
    assert pulled(project, studio).submitted == 1


def test_a_task_with_anothers_number_is_raised(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    other = shown_case(project, studio)
    task = studio.task_of(case.pk)
    studio.annotate(case.pk, drawn(studio, case))
    task["data"]["case_id"], task["data"]["external_id"] = other.pk, opaque_key(other.pk, None)
    assert codes(pulled(project, studio)) == ["labelstudio_task_reused"]
    assert not Review.objects.exists()


# --- a Label Studio that went back in time ----------------------------------------------------------------------


def test_what_nobody_deleted_is_not_withdrawn(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    before = copy.deepcopy(studio.task_of(case.pk))
    studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    studio.all_tasks[before["id"]] = before
    assert codes(pulled(project, studio, full=True)) == ["labelstudio_went_back"]
    assert Review.objects.get().outcome == ReviewOutcome.SUBMITTED


def test_a_task_touched_after_a_restore_does_not_look_like_a_deletion(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    other = shown_case(project, studio)
    kept = copy.deepcopy(studio.all_tasks)
    for one in (case, other):
        studio.annotate(one.pk, drawn(studio, one))
    pulled(project, studio)
    studio.all_tasks = kept
    studio.task_of(case.pk)["updated_at"] = studio.later()  # e.g. a new rank was pushed
    report = pulled(project, studio, full=True)
    assert codes(report) == ["labelstudio_went_back", "labelstudio_went_back"]
    assert report.withdrawn == 0


def test_a_deletion_is_one_while_later_annotations_are_still_there(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    other = shown_case(project, studio)
    annotation = studio.annotate(case.pk, drawn(studio, case))
    studio.annotate(other.pk, drawn(studio, other))
    pulled(project, studio)
    stamp = studio.task_of(case.pk)["updated_at"]
    studio.delete_annotation(case.pk, annotation)
    studio.task_of(case.pk)["updated_at"] = stamp  # killed before Label Studio had written this down
    report = pulled(project, studio, full=True)
    assert (report.withdrawn, report.refused) == (1, [])


def test_an_older_state_of_an_annotation_is_not_an_edit(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    older = copy.deepcopy(studio.task_of(case.pk))
    studio.edit(case.pk, annotation, result=drawn(studio, case)[:-1])
    pulled(project, studio)
    answers = set(Review.objects.get().answers.values_list("pk", flat=True))
    studio.all_tasks[older["id"]] = older
    assert codes(pulled(project, studio, full=True)) == ["labelstudio_went_back"]
    assert set(Review.objects.get().answers.values_list("pk", flat=True)) == answers


def test_a_deleted_annotation_that_is_back_is_not_taken_again(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    older = copy.deepcopy(studio.task_of(case.pk))
    pulled(project, studio)
    studio.delete_annotation(case.pk, annotation)
    pulled(project, studio)
    studio.all_tasks[older["id"]] = older
    assert codes(pulled(project, studio, full=True)) == ["labelstudio_went_back"]
    assert Review.objects.get().outcome == ReviewOutcome.WITHDRAWN


def test_a_used_again_annotation_number_is_another_annotation(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    annotation = studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    now = studio.later()
    annotation |= {"created_at": now, "updated_at": now, "result": drawn(studio, case)[:-1]}
    assert codes(pulled(project, studio, full=True)) == ["labelstudio_went_back"]
    assert LabelStudioAnnotation.objects.get().review.outcome == ReviewOutcome.SUBMITTED


def test_our_own_copy_of_every_annotation_is_kept(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case))
    pulled(project, studio)
    assert LabelStudioAnnotation.objects.get().result == drawn(studio, case)
