"""Giving, taking, keeping, giving back and expiring cases."""

from datetime import timedelta

import pytest
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.cases.workflow import move
from annotations.reviews import assignments
from annotations.reviews.assignments import assign, take_next
from annotations.reviews.decisions import approve, exclude
from annotations.reviews.models import Assignment, AssignmentState, Purpose, ReviewOutcome, Way
from annotations.reviews.services import record_skip, withdraw
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.assign_made import drafted, given, in_review, people, planned_corpus, submit
from tests.factories import make_case, make_user

pytestmark = pytest.mark.django_db


def refusal(**asked: object) -> str:
    values = {"way": Way.MANUAL, "by": None, "purpose": Purpose.ANNOTATE}
    with pytest.raises(Problem) as caught:
        assign(**{**values, **asked})  # type: ignore[arg-type]
    return caught.value.code


def taken_case(person: User, **asked: object) -> Case | None:
    found = take_next(person=person, **asked)  # type: ignore[arg-type]
    return found.case if found else None


def test_a_lead_assigns_and_the_case_remembers_it(lead: User, annotator: User) -> None:
    (case,) = drafted(planned_corpus())
    made = assign(
        case=case, person=annotator, purpose=Purpose.ANNOTATE, way=Way.MANUAL, by=lead, minutes=30
    )  # fmt: skip
    assert (made.state, made.assigned_by, made.case) == (AssignmentState.OPEN, lead, case)
    assert made.expires_at is not None
    assert timedelta(minutes=29) < made.expires_at - timezone.now() <= timedelta(minutes=30)
    event = history(case)[0]
    assert (event.actor, event.verb, event.data["person"]) == (
        lead.username,
        "case.assigned",
        annotator.username,
    )
    assert assignments.open_assignment(case, annotator) == made


def test_only_a_lead_of_the_corpus_assigns_others(annotator: User, reviewer: User) -> None:
    (case,) = drafted(planned_corpus())
    assert refusal(case=case, person=annotator, by=reviewer) == "not_allowed"
    assert refusal(case=case, person=annotator, by=make_user(Role.ENGINEER)) == "not_allowed"
    Membership.objects.create(user=reviewer, corpus=case.corpus, role=Role.LEAD)
    assert given(case, annotator, by=reviewer).assigned_by == reviewer


def test_nobody_is_asked_for_what_their_role_here_forbids(engineer: User, annotator: User) -> None:
    (case,) = drafted(planned_corpus())
    assert refusal(case=case, person=engineer) == "person_may_not"
    submit(case, make_user())
    assert refusal(case=case, person=annotator, purpose=Purpose.SECOND) == "person_may_not"
    Membership.objects.create(user=annotator, corpus=case.corpus, role=Role.REVIEWER)
    assert given(case, annotator, Purpose.SECOND).purpose == Purpose.SECOND


def test_a_case_is_with_one_person_at_a_time() -> None:
    (case,), (one, other) = drafted(planned_corpus()), people(2)
    held = given(case, one)
    with pytest.raises(Problem) as caught:
        given(case, other)
    assert caught.value.code == "already_assigned"
    assert caught.value.fields == {"assignment": held.pk, "person": one.pk}
    assert one.username in caught.value.message


@pytest.mark.parametrize(
    "status", [CaseStatus.NEW, CaseStatus.PREDICTING, CaseStatus.SUBMITTED, CaseStatus.EXCLUDED]
)
def test_no_pass_is_asked_for_where_none_is_due(status: CaseStatus, annotator: User) -> None:
    case = make_case(CaseStatus.READY)
    Case.objects.filter(pk=case.pk).update(status=status, excluded_reason="x" * (status == "excluded"))
    assert refusal(case=case, person=annotator) == "wrong_status"


def test_a_second_pass_only_where_chance_wanted_one(annotator: User) -> None:
    (single,) = drafted(planned_corpus())
    assert refusal(case=single, person=annotator, purpose=Purpose.DOUBLE) == "not_double"


def test_nobody_gets_both_passes_by_whatever_way(lead: User) -> None:
    (case,), (one, other) = drafted(planned_corpus(double_share=1.0)), people(2)
    first = given(case, one)
    assert refusal(case=case, person=one, purpose=Purpose.DOUBLE) == "both_passes"
    submit(case, one, assignment=first)
    assignments.close(first, at=timezone.now())
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.IN_REVIEW)
    assert refusal(case=case, person=one, purpose=Purpose.DOUBLE, by=lead) == "both_passes"
    assert take_next(person=one) is None
    second = take_next(person=other)
    assert second is not None
    assert (second.case, second.purpose) == (case, Purpose.DOUBLE)
    assert refusal(case=case, person=other) == "both_passes"


def test_who_came_unasked_has_made_the_first_pass() -> None:
    (case,), (one, other) = drafted(planned_corpus(double_share=1.0)), people(2)
    assignments.draw_of(case)
    submit(in_review(case), one)
    Case.objects.filter(pk=case.pk).update(
        status=CaseStatus.IN_REVIEW
    )  # a double case waits for its second pass
    assert take_next(person=one) is None
    found = take_next(person=other)
    assert found is not None
    assert (found.case, found.purpose) == (case, Purpose.DOUBLE)


@pytest.mark.parametrize("purpose", [Purpose.SECOND, Purpose.ADJUDICATE])
def test_nobody_looks_over_or_decides_what_they_answered(purpose: Purpose) -> None:
    (case,), (author, other) = drafted(planned_corpus()), people(2, Role.REVIEWER)
    submit(case, author)
    if purpose == Purpose.ADJUDICATE:
        case.refresh_from_db()
        move(case, CaseStatus.DISPUTED, by=None)
    assert refusal(case=case, person=author, purpose=purpose) == "own_case"
    assert given(case, other, purpose).person == other


def test_next_is_the_best_ranked_case_and_stays_the_same_until_submitted() -> None:
    cases, (person,) = drafted(planned_corpus(), 3), people(1)
    Case.objects.filter(pk=cases[2].pk).update(review_rank=1)
    first = take_next(person=person)
    assert first is not None
    assert (first.case, first.way, first.purpose) == (cases[2], Way.TAKEN, Purpose.ANNOTATE)
    assert take_next(person=person) == first
    assert history(cases[2])[0].verb == "case.taken"
    submit(first.case, person, assignment=first)
    assignments.close(first, at=timezone.now())
    assert taken_case(person) == cases[0]


def test_a_taken_case_is_kept_as_long_as_the_plan_says() -> None:
    corpus, (person,) = planned_corpus(reservation_minutes=45), people(1)
    drafted(corpus)
    taken = take_next(person=person)
    assert taken is not None
    assert taken.expires_at is not None
    assert timedelta(minutes=44) < taken.expires_at - timezone.now() <= timedelta(minutes=45)


def test_returned_ones_first_then_begun_then_gold_then_given_then_second_passes_then_the_rest() -> None:
    corpus, (me, other, lead) = planned_corpus(), [*people(2), make_user(Role.LEAD)]
    plain, doubled, gold, given_case, begun, returned = drafted(corpus, 6)
    for case in (doubled,):
        draw = assignments.draw_of(case)
        draw.double = True
        draw.save()
        given(case, other)
    assignments.begin(given(begun, me))
    given(given_case, me)
    submit(returned, me)
    returned.refresh_from_db()
    move(returned, CaseStatus.RETURNED, by=lead, reason="look again")
    assert assignments.hand_back(case=returned, by=lead) is not None

    def gold_case(person: User) -> Assignment:
        return given(gold, person, Purpose.GOLD, way=Way.TAKEN)

    seen = []
    for _ in range(6):
        found = take_next(person=me, extra=lambda person: None if gold in seen else gold_case(person))
        assert found is not None
        seen.append(found.case)
        assignments.close(found, at=timezone.now())
        Case.objects.filter(pk=found.case_id).update(status=CaseStatus.SUBMITTED)
    assert seen == [returned, begun, gold, given_case, doubled, plain]
    assert take_next(person=me) is None


def test_a_gold_case_not_yet_opened_is_given_again_instead_of_another() -> None:
    (gold,), (me,) = drafted(planned_corpus()), people(1)
    asked: list[User] = []

    def extra(person: User) -> Assignment:
        asked.append(person)
        return given(gold, person, Purpose.GOLD, way=Way.TAKEN)

    first = take_next(person=me, extra=extra)
    assert take_next(person=me, extra=extra) == first
    assert asked == [me]


def test_a_returned_case_goes_to_whom_it_came_from_for_the_same_pass(lead: User) -> None:
    (case,), (one, other) = drafted(planned_corpus(double_share=1.0)), people(2)
    submit(case, one, assignment=given(case, one))
    case.refresh_from_db()
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.IN_REVIEW)
    second = given(case, other, Purpose.DOUBLE)
    submit(case, other, assignment=second)
    assignments.close(second, at=timezone.now())
    Case.objects.filter(pk=case.pk).update(status=CaseStatus.RETURNED)
    back = assignments.hand_back(case=case, by=lead)
    assert back is not None
    assert (back.person, back.purpose, back.way, back.expires_at) == (
        other,
        Purpose.DOUBLE,
        Way.RETURNED,
        None,
    )


def test_a_returned_case_of_somebody_who_left_waits_for_anybody(lead: User) -> None:
    (case,), (author, other) = drafted(planned_corpus()), people(2)
    submit(case, author)
    User.objects.filter(pk=author.pk).update(is_active=False)
    case.refresh_from_db()
    move(case, CaseStatus.RETURNED, by=lead, reason="look again")
    assert assignments.hand_back(case=case, by=lead) is None
    assert taken_case(other) == case


def test_what_one_let_go_comes_back_only_when_nothing_else_is_left() -> None:
    cases, (me,) = drafted(planned_corpus(), 3), people(1)
    for expected in cases[:2]:
        found = take_next(person=me)
        assert found is not None
        assert found.case == expected
        if expected == cases[0]:
            assignments.release(assignment=found, by=me)
        else:
            record_skip(case=found.case, reviewer=me, origin="skip", lead_seconds=None)
            assignments.release_moot()
            if found.state == AssignmentState.OPEN:
                Assignment.objects.filter(pk=found.pk).update(
                    state=AssignmentState.RELEASED, closed_at=timezone.now()
                )
    last = take_next(person=me)
    assert last is not None
    assert last.case == cases[2]
    submit(last.case, me, assignment=last)
    assignments.close(last, at=timezone.now())
    assert taken_case(me) == cases[0]


def test_a_withdrawn_pass_is_due_again() -> None:
    (case,), (me, other) = drafted(planned_corpus()), people(2)
    held = given(case, me)
    review = submit(case, me, assignment=held)
    assignments.close(held, at=timezone.now())
    assert take_next(person=other) is None
    withdraw(review=review, by=me)
    assert review.case.reviews.get().outcome == ReviewOutcome.WITHDRAWN
    assert taken_case(other) == case


def test_nothing_is_taken_from_corpora_that_are_shared_out_or_barred_or_closed_to_the_person() -> None:
    shared, barred, closed = planned_corpus(strategy="round_robin"), planned_corpus(), planned_corpus()
    (me,) = people(1)
    for corpus in (shared, barred, closed):
        drafted(corpus)
    closed.access = "members"
    closed.save()
    assert take_next(person=me, barred=[barred.pk]) is None
    assert taken_case(me) is not None
    assert Assignment.objects.get().case.corpus == barred


def test_only_the_corpus_that_is_asked_for() -> None:
    one, other, (me,) = planned_corpus(), planned_corpus(), people(1)
    drafted(one)
    (wanted,) = drafted(other)
    assert taken_case(me, corpus=other) == wanted


def test_a_reviewer_takes_what_is_to_be_looked_over_but_never_their_own() -> None:
    corpus, (author, other) = planned_corpus(second_share=1.0), people(2, Role.REVIEWER)
    (case,) = drafted(corpus)
    submit(case, author, assignment=given(case, author))
    assert take_next(person=author, purposes=[Purpose.SECOND]) is None
    found = take_next(person=other, purposes=[Purpose.SECOND])
    assert found is not None
    assert (found.case, found.purpose) == (case, Purpose.SECOND)


def test_whoever_is_at_work_keeps_the_case_they_work_on_and_no_other() -> None:
    corpus, (me,) = planned_corpus(), people(1)
    one, other = (given(case, me, minutes=5) for case in drafted(corpus, 2))
    assert assignments.keep(person=me, case=one.case) == 1
    one.refresh_from_db()
    other.refresh_from_db()
    assert one.expires_at - timezone.now() > timedelta(minutes=119)  # type: ignore[operator]
    assert other.expires_at - timezone.now() <= timedelta(minutes=5)  # type: ignore[operator]


def test_no_activity_keeps_a_case_for_good() -> None:
    corpus, (me,) = planned_corpus(reservation_minutes=10), people(1)
    (case,) = drafted(corpus)
    held = given(case, me, minutes=10)
    for minutes in (8, 16, 24, 29):
        assignments.keep(person=me, case=case, at=held.assigned_at + timedelta(minutes=minutes))
    held.refresh_from_db()
    assert held.expires_at == held.assigned_at + timedelta(minutes=30)


def test_keeping_never_shortens_and_never_revives() -> None:
    corpus, (me,) = planned_corpus(), people(1)
    long, over, endless = (
        given(case, me, minutes=minutes)
        for case, minutes in zip(drafted(corpus, 3), (600, 0, None), strict=True)
    )
    assert [assignments.keep(person=me, case=one.case) for one in (long, over, endless)] == [0, 0, 0]
    assert assignments.expire_due() == 1
    over.refresh_from_db()
    endless.refresh_from_db()
    long.refresh_from_db()
    assert (long.state, over.state, endless.state) == ("open", "expired", "open")
    assert endless.expires_at is None


def test_what_expires_goes_to_somebody_else_and_the_case_remembers_it() -> None:
    (case,), (me, other) = drafted(planned_corpus()), people(2)
    given(case, me, minutes=0)
    assert take_next(person=other) is None
    assert assignments.expire_due() == 1
    assert assignments.expire_due() == 0
    assert history(case)[0].verb == "case.reservation_expired"
    assert taken_case(other) == case


def test_a_late_submission_counts_and_relieves_whoever_has_not_begun() -> None:
    (case,), (late, other) = drafted(planned_corpus()), people(2)
    expired = given(case, late, minutes=0)
    assignments.expire_due()
    successor = given(case, other)
    expired.refresh_from_db()
    assignments.close(expired, at=timezone.now())
    successor.refresh_from_db()
    assert (expired.state, successor.state) == (AssignmentState.DONE, AssignmentState.RELEASED)


def test_a_late_submission_leaves_those_alone_who_are_at_it() -> None:
    (case,), (late, other) = drafted(planned_corpus()), people(2)
    expired = given(case, late, minutes=0)
    assignments.expire_due()
    successor = given(case, other)
    assignments.begin(successor)
    expired.refresh_from_db()
    assignments.close(expired, at=timezone.now())
    successor.refresh_from_db()
    assert successor.state == AssignmentState.OPEN


def test_one_releases_ones_own_and_a_lead_anybodys(lead: User) -> None:
    cases, (me, other) = drafted(planned_corpus(), 2), people(2)
    mine, theirs = given(cases[0], me), given(cases[1], other)
    assignments.release(assignment=mine, by=me)
    with pytest.raises(Problem) as caught:
        assignments.release(assignment=theirs, by=me)
    assert caught.value.code == "not_allowed"
    assignments.release(assignment=theirs, by=lead, reason=" on leave ")
    assert history(cases[1])[0].data["reason"] == "on leave"
    with pytest.raises(Problem) as caught:
        assignments.release(assignment=theirs, by=lead)
    assert caught.value.code == "not_open"


def test_opening_is_remembered_once_and_starts_the_time_anew() -> None:
    (case,), (me,) = drafted(planned_corpus()), people(1)
    held = given(case, me, minutes=5)
    early = timezone.now() - timedelta(minutes=3)
    assignments.begin(held, at=early)
    assignments.begin(held)
    held.refresh_from_db()
    assert held.opened_at == early
    assert held.expires_at is not None
    assert held.expires_at - timezone.now() > timedelta(minutes=119)


def test_what_is_settled_leaves_the_queues(lead: User) -> None:
    gone, done, open_case = drafted(planned_corpus(), 3)
    me, reviewer = make_user(Role.ANNOTATOR), make_user()
    for case in (gone, done, open_case):
        given(case, me)
    exclude(case=gone, reason="black", by=lead)
    submit(done, reviewer)
    done.refresh_from_db()
    approve(case=done, by=lead)
    assert assignments.release_moot() == 2
    assert assignments.release_moot() == 0
    assert [one.case for one in assignments.held_by(me)] == [open_case]
