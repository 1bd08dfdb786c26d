"""Two people answer a case: it waits for both, and is submitted or disputed; edits and withdrawals count anew."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.reviews.decisions import approve, exclude, return_case
from annotations.reviews.disputes import compare, disputed_kinds, live_dispute
from annotations.reviews.models import Assignment, AssignmentState, Dispute, DisputeState, Purpose, Review
from annotations.reviews.passes import both_passes, latest_submitted
from annotations.reviews.plans import set_plan
from annotations.reviews.services import record_skip, withdraw
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.disputes_made import LATE, answer, ask, make_dispute, make_planned_case
from tests.factories import CRASH, make_user

pytestmark = pytest.mark.django_db


def status_of(case: Case) -> str:
    return Case.objects.get(pk=case.pk).status


def test_a_case_for_two_waits_for_both_and_closes_what_each_was_asked(annotator: User) -> None:
    case, other = make_planned_case(double_share=1.0), make_user()
    first = ask(case, annotator)
    review = answer(case, annotator)
    assert status_of(case) == CaseStatus.IN_REVIEW
    first.refresh_from_db()
    assert (first.state, first.review, review.purpose) == (AssignmentState.DONE, review, Purpose.ANNOTATE)
    assert both_passes(case) is None
    second = ask(case, other, Purpose.DOUBLE)
    again = answer(case, other)
    second.refresh_from_db()
    assert (second.state, again.purpose, status_of(case)) == (
        AssignmentState.DONE,
        Purpose.DOUBLE,
        CaseStatus.SUBMITTED,
    )
    assert both_passes(case) == (review, again)
    assert not Dispute.objects.exists()


def test_one_person_twice_is_not_two(annotator: User) -> None:
    case = make_planned_case(double_share=1.0)
    answer(case, annotator)
    answer(case, annotator, LATE, origin="test:another annotation of the same person")
    assert status_of(case) == CaseStatus.IN_REVIEW


def test_too_little_agreement_is_a_dispute_that_keeps_what_was_compared() -> None:
    dispute = make_dispute()
    case = dispute.case
    assert status_of(case) == CaseStatus.DISPUTED
    assert disputed_kinds(dispute.compared) == [Kind.CAUSAL_REASONING, Kind.CRASH_LOCALIZATION]
    found = dispute.compared[Kind.CRASH_LOCALIZATION]
    assert (found["agreement"], found["threshold"], found["disputed"]) == (0.15, 0.5, True)
    values = {side: found[side]["value"]["start_us"] for side in ("first", "second")}
    assert sorted(values.values()) == [2_000_000, 3_200_000]
    for side, review in (("first", dispute.first), ("second", dispute.second)):
        assert found[side]["answer"] == review.answers.get(kind=Kind.CRASH_LOCALIZATION).pk
    assert history(dispute).get().data["kinds"] == {"causal_reasoning": 0.1667, "crash_localization": 0.15}
    assert [event.verb for event in history(case)][:2] == ["case.disputed", "case.submitted"]


def test_a_kind_without_a_threshold_is_never_disputed() -> None:
    case = make_planned_case(double_share=1.0, thresholds={Kind.CRASH_RECOGNITION.value: 1.0})
    for person, said in ((make_user(), CRASH), (make_user(), LATE)):
        answer(case, person, said)
    assert status_of(case) == CaseStatus.SUBMITTED


def test_a_part_that_could_not_be_read_agrees_with_nothing() -> None:
    case = make_planned_case(double_share=1.0)
    one, other = answer(case, make_user()), answer(case, make_user())
    other.problems = [{"code": "several_ranges", "kind": Kind.CRASH_LOCALIZATION, "message": "2 ranges"}]
    assert compare(one, other, {Kind.CRASH_LOCALIZATION: 0.1})[Kind.CRASH_LOCALIZATION]["disputed"]


def test_the_plan_a_case_was_drawn_under_decides(lead: User) -> None:
    case = make_planned_case(double_share=1.0)
    set_plan(corpus=case.corpus, by=lead, thresholds={})
    answer(case, make_user())
    answer(case, make_user(), LATE)
    assert status_of(case) == CaseStatus.DISPUTED


def test_an_edit_that_settles_it_ends_the_dispute() -> None:
    dispute = make_dispute()
    late = next(r for r in (dispute.first, dispute.second) if said_late(r))
    answer(dispute.case, late.reviewer, CRASH, revision="2")
    assert status_of(dispute.case) == CaseStatus.SUBMITTED
    dispute.refresh_from_db()
    assert (dispute.state, dispute.closed_why) == (DisputeState.DROPPED, "agreed after an edit")
    assert live_dispute(dispute.case) is None


def said_late(review: Review) -> bool:
    value = review.answers.get(kind=Kind.CRASH_LOCALIZATION).value
    return bool(value and value["start_us"] == 3_200_000)


def test_an_edit_that_does_not_is_compared_anew_and_the_first_comparison_stays() -> None:
    dispute = make_dispute()
    before = dispute.compared
    late = next(r for r in (dispute.first, dispute.second) if said_late(r))
    answer(
        dispute.case,
        late.reviewer,
        {**LATE, Kind.CAUSAL_REASONING: CRASH[Kind.CAUSAL_REASONING]},
        revision="2",
    )
    dispute.refresh_from_db()
    assert (dispute.state, dispute.compared) == (DisputeState.DROPPED, before)
    live = live_dispute(dispute.case)
    assert live is not None
    assert disputed_kinds(live.compared) == [Kind.CRASH_LOCALIZATION]
    assert status_of(dispute.case) == CaseStatus.DISPUTED


def test_the_same_submission_again_changes_nothing() -> None:
    dispute = make_dispute()
    late = next(r for r in (dispute.first, dispute.second) if said_late(r))
    answer(dispute.case, late.reviewer, LATE)
    assert live_dispute(dispute.case) == dispute


def test_an_edit_of_agreeing_answers_can_open_a_dispute(annotator: User) -> None:
    case = make_planned_case(double_share=1.0)
    answer(case, annotator)
    answer(case, make_user())
    assert status_of(case) == CaseStatus.SUBMITTED
    answer(case, annotator, LATE, revision="2")
    assert status_of(case) == CaseStatus.DISPUTED


def test_withdrawing_a_pass_ends_the_dispute_and_asks_for_the_pass_again() -> None:
    dispute = make_dispute()
    withdraw(review=dispute.first, by=None)
    assert status_of(dispute.case) == CaseStatus.IN_REVIEW
    dispute.refresh_from_db()
    assert dispute.state == DisputeState.DROPPED
    answer(dispute.case, make_user(), CRASH if said_late(dispute.second) else LATE)
    assert status_of(dispute.case) == CaseStatus.DISPUTED
    assert live_dispute(dispute.case) != dispute


def test_a_pass_that_becomes_a_skip_is_no_pass(annotator: User) -> None:
    case = make_planned_case(double_share=1.0)
    answer(case, annotator)
    answer(case, make_user())
    record_skip(case=case, reviewer=annotator, origin=f"test:{case.pk}:{annotator.pk}", lead_seconds=1.0)
    assert status_of(case) == CaseStatus.IN_REVIEW


def test_excluding_a_disputed_case_ends_the_dispute(lead: User) -> None:
    dispute = make_dispute()
    exclude(case=dispute.case, reason="night, nothing visible", by=lead)
    dispute.refresh_from_db()
    assert (dispute.state, dispute.closed_why) == (DisputeState.DROPPED, "the case was excluded")


def test_a_disputed_case_is_not_simply_approved(lead: User) -> None:
    with pytest.raises(Problem) as caught:
        approve(case=make_dispute().case, by=lead)
    assert caught.value.code == "invalid_move"


def test_a_skip_gives_back_what_was_asked(annotator: User) -> None:
    case = make_planned_case(double_share=1.0)
    asked = ask(case, annotator)
    record_skip(case=case, reviewer=annotator, origin="test:skip", lead_seconds=2.0)
    asked.refresh_from_db()
    assert asked.state == AssignmentState.RELEASED


def test_a_returned_case_goes_back_to_its_person_and_is_closed_by_their_edit(
    annotator: User, lead: User
) -> None:
    case = make_planned_case()
    first = ask(case, annotator)
    review = answer(case, annotator)
    return_case(case=case, reason="the cause is wrong", by=lead)
    asked = Assignment.objects.get(case=case, person=annotator, state=AssignmentState.OPEN)
    answer(case, annotator, LATE, revision="2", assignment=first)
    asked.refresh_from_db()
    review.refresh_from_db()
    assert (asked.state, review.assignment, status_of(case)) == (
        AssignmentState.DONE,
        asked,
        CaseStatus.SUBMITTED,
    )


def test_what_was_withdrawn_leaves_its_assignment_to_the_next_annotation(annotator: User) -> None:
    case = make_planned_case()
    asked = ask(case, annotator)
    gone = answer(case, annotator)
    withdraw(review=gone, by=None)
    review = answer(case, annotator, origin="test:drawn anew", assignment=asked)
    gone.refresh_from_db()
    assert (review.assignment, gone.assignment) == (asked, None)


def test_somebody_else_on_a_persons_own_task_is_that_pass_but_closes_nothing(annotator: User) -> None:
    case = make_planned_case(double_share=1.0)
    asked = ask(case, annotator)
    review = answer(case, make_user(), assignment=asked)
    asked.refresh_from_db()
    assert (review.purpose, review.assignment, asked.state) == (Purpose.ANNOTATE, None, AssignmentState.OPEN)


def test_a_case_for_a_second_look_is_approved_by_another_person(reviewer: User, lead: User) -> None:
    case = make_planned_case(second_share=1.0)
    answer(case, reviewer)
    with pytest.raises(Problem) as caught:
        approve(case=case, by=reviewer)
    assert caught.value.code == "needs_another_person"
    assert status_of(case) == CaseStatus.SUBMITTED
    assert approve(case=case, by=lead).status == CaseStatus.APPROVED


def test_who_changed_something_when_looking_it_over_does_not_approve_it(
    annotator: User, reviewer: User
) -> None:
    case = make_planned_case(second_share=1.0)
    answer(case, annotator)
    ask(case, reviewer, Purpose.SECOND)
    fixed = answer(
        case, reviewer, {**CRASH, Kind.CRASH_DESCRIPTION: Said("valued", {"text": "bus hits a truck."})}
    )
    assert fixed.purpose == Purpose.SECOND
    assert latest_submitted(case) == fixed
    with pytest.raises(Problem) as caught:
        approve(case=case, by=reviewer)
    assert caught.value.code == "needs_another_person"
    assert approve(case=case, by=make_user(Role.REVIEWER)).status == CaseStatus.APPROVED
    assert case.approved.get(kind=Kind.CRASH_DESCRIPTION).answer.author == reviewer


def test_who_looked_it_over_and_said_the_same_may_approve_it(annotator: User, reviewer: User) -> None:
    case = make_planned_case(second_share=1.0)
    answer(case, annotator, LATE)
    ask(case, reviewer, Purpose.SECOND)
    assert answer(case, reviewer, LATE).purpose == Purpose.SECOND
    assert approve(case=case, by=reviewer).status == CaseStatus.APPROVED
