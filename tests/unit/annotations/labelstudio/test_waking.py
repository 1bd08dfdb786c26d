"""An answer of the wrong person counts with the next poll after a lead assigned the case to them."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import VideoFinding
from annotations.labelstudio import pull, taking, waking
from annotations.labelstudio.external_ids import opaque_key
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.push import push_cases
from annotations.labelstudio.tasks import poll
from annotations.reviews.assignments import assign, release
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Review, Way
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from tests.factories import make_case, make_video
from tests.unit.annotations.labelstudio.fake import FakeLabelStudio
from tests.unit.annotations.labelstudio.test_taking import ANN, BEN, ann, ask, ben, case, drawn, reviewers

__all__ = ["ann", "ben", "case"]
pytestmark = pytest.mark.django_db


def polled(studio: FakeLabelStudio, times: int = 1) -> int:
    """How much so many polls took in, a minute apart: nothing of before is within their overlap."""
    taken = 0
    for _ in range(times):
        studio.later(60)
        taken += poll()
    return taken


def asked_by_number(studio: FakeLabelStudio) -> int:
    """How often tasks were asked for by their numbers."""
    return sum("in_list" in call for call in studio.calls)


@pytest.fixture(autouse=True)
def _calls_with_filters(studio: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    real = studio.task_page

    def task_page(project_id: int, filters: Any, **options: Any) -> Any:
        studio.calls += [item["operator"] for item in filters]
        return real(project_id, filters, **options)

    monkeypatch.setattr(studio, "task_page", task_page)


def give(to: User, shown: Case, lead: User, purpose: Purpose = Purpose.ANNOTATE) -> Assignment:
    return assign(case=shown, person=to, purpose=purpose, way=Way.MANUAL, by=lead)


def test_assigning_the_case_to_whoever_answered_it_lets_that_count(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    held = give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    assert polled(studio, 3) == 0
    assert VideoFinding.objects.get().data["code"] == "labelstudio_wrong_person"
    release(assignment=held, by=lead)
    give(ben, case, lead)
    assert polled(studio) == 1
    assert reviewers(case) == [ben]
    assert not VideoFinding.objects.exists()
    assert polled(studio, 2) == 0


def test_a_second_look_that_fails_is_taken_again(
    project: LabelStudioProject,
    studio: FakeLabelStudio,
    case: Case,
    ann: User,
    ben: User,
    lead: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    assert polled(studio, 3) == 0
    release(assignment=held, by=lead)
    give(ben, case, lead)

    def deadlock(*_: Any) -> None:
        raise OperationalError("deadlock detected")

    with monkeypatch.context() as broken:
        broken.setattr(pull, "take_task", deadlock)
        assert polled(studio) == 0
    assert polled(studio) == 1
    assert reviewers(case) == [ben]


def test_releasing_whoever_stood_in_the_way_is_enough(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    held = give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    assert polled(studio, 2) == 0
    release(assignment=held, by=lead)
    assert polled(studio) == 1


def test_of_two_people_the_second_counts_once_it_looks_over(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    User.objects.filter(pk=ben.pk).update(role="reviewer")
    ben.refresh_from_db()
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert polled(studio) == 1
    studio.annotate(case.pk, drawn(studio, case)[1:], by=BEN)
    assert polled(studio, 2) == 0
    give(ben, case, lead, Purpose.SECOND)
    assert polled(studio) == 1
    assert reviewers(case) == [ann, ben]


def test_too_late_an_answer_counts_when_its_person_is_asked_again(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, lead: User
) -> None:
    mine = ask(case, ann, Purpose.DOUBLE)
    row = project.tasks.get()
    row.assignment, row.external_id = mine, opaque_key(case.pk, mine.pk)
    row.save()
    mine.state, mine.closed_at = AssignmentState.RELEASED, timezone.now()
    mine.save()
    studio.task_of(case.pk)["data"]["external_id"] = row.external_id
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert polled(studio, 2) == 0
    assert VideoFinding.objects.get().data["code"] == "labelstudio_assignment_ended"
    mine.state, mine.closed_at = AssignmentState.OPEN, None
    mine.save()
    assert polled(studio) == 1


def test_a_refusal_that_stands_is_asked_for_once_not_at_every_poll(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    polled(studio, 5)
    assert asked_by_number(studio) == 1
    before = LabelStudioProject.objects.get().polled_until
    waking.take_again(studio)
    assert LabelStudioProject.objects.get().polled_until == before
    assert not Review.objects.exists()


def test_a_task_that_is_gone_is_asked_for_once(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    held = give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    polled(studio, 2)
    del studio.all_tasks[studio.task_of(case.pk)["id"]]
    release(assignment=held, by=lead)
    polled(studio, 4)
    assert asked_by_number(studio) == 2


def test_changes_of_the_others_are_not_passed_over(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    """What is looked at again does not move on how far the project was polled."""
    held = give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    polled(studio, 2)
    other = make_case(CaseStatus.PREDICTED, video=make_video(project.corpus), guideline=project.guideline)
    push_cases(project, client=studio, by=None)
    release(assignment=held, by=lead)
    studio.later(60)
    studio.annotate(other.pk, drawn(studio, other), by=ANN)
    waking.take_again(studio)
    assert reviewers(case) == [ben]
    studio.later(1)
    assert poll() == 1
    assert reviewers(other) == [ann]


def test_a_label_studio_that_is_away_loses_nothing(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, ben: User, lead: User
) -> None:
    held = give(ann, case, lead)
    studio.annotate(case.pk, drawn(studio, case), by=BEN)
    polled(studio, 2)
    release(assignment=held, by=lead)
    studio.down = True
    assert waking.take_again(studio) == 0
    studio.down = False
    assert polled(studio) == 1


def test_where_nothing_was_refused_it_costs_one_query(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case
) -> None:
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    polled(studio)
    with CaptureQueriesContext(connection) as queries:
        waking.take_again(studio)
    assert len(queries) == 1


def test_other_refusals_are_none_of_its_business(
    project: LabelStudioProject, studio: FakeLabelStudio, case: Case, ann: User, lead: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def refuse(**_: Any) -> Review:
        raise Problem("invalid_answer", "the text is far too long")

    monkeypatch.setattr(taking, "record_submission", refuse)
    studio.annotate(case.pk, drawn(studio, case), by=ANN)
    assert polled(studio, 2) == 0
    assert VideoFinding.objects.exists()
    give(ann, case, lead)
    polled(studio, 2)
    assert asked_by_number(studio) == 0
