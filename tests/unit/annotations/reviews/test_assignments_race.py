"""Several people at once, each with a database connection of their own: no case is ever given twice."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from annotations.cases.models import Case
from annotations.reviews import assignments
from annotations.reviews.assignments import assign, take_next
from annotations.reviews.assignments_pool import not_of, waiting
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Review, ReviewOutcome, Way
from crashdesk.accounts.models import Role, User
from crashdesk.api.errors import Problem
from tests.assign_made import bare_cases, people, planned_corpus

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*works: Callable[[], None]) -> None:
    """Run them in threads that start together; what one of them raises fails the test."""
    barrier, raised = threading.Barrier(len(works)), list[BaseException]()

    def run(work: Callable[[], None]) -> None:
        try:
            barrier.wait(timeout=30)
            work()
        except BaseException as error:
            raised.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    if raised:
        raise raised[0]


@transaction.atomic
def made(assignment: Assignment) -> None:
    """The person submits, in as few statements as can be, and the case goes on waiting for another pass."""
    now = timezone.now()
    Review.objects.create(
        case=assignment.case, reviewer=assignment.person, assignment=assignment, purpose=assignment.purpose,
        origin=f"race:{assignment.pk}", outcome=ReviewOutcome.SUBMITTED, submitted_at=now,
    )  # fmt: skip
    assignments.close(assignment, at=now)


def test_eight_people_who_take_all_day_never_get_the_same_case() -> None:
    corpus, takers = planned_corpus(), people(8)
    cases = bare_cases(corpus, 60)
    taken: dict[int, list[int]] = {person.pk: [] for person in takers}

    def take_all(person: User) -> Callable[[], None]:
        def work() -> None:
            while found := take_next(person=person):
                taken[person.pk].append(found.case_id)
                made(found)

        return work

    at_once(*(take_all(person) for person in takers))
    given = Counter(case for cases_of in taken.values() for case in cases_of)
    assert given == Counter({case.pk: 1 for case in cases})
    assert sum(bool(some) for some in taken.values()) > 1, "one person was served alone: nothing was tested"


def test_eight_people_who_keep_what_they_took_hold_eight_cases() -> None:
    corpus, takers = planned_corpus(), people(8)
    bare_cases(corpus, 5)
    found: list[Assignment | None] = []
    at_once(*(lambda person=person: found.append(take_next(person=person)) for person in takers))  # type: ignore[misc]
    held = [one.case_id for one in found if one is not None]
    assert (len(held), len(set(held))) == (5, 5)
    assert Assignment.objects.filter(state=AssignmentState.OPEN).count() == 5


def test_whoever_comes_while_a_case_is_being_taken_skips_it_instead_of_waiting() -> None:
    corpus, (slow, quick) = planned_corpus(reservation_minutes=30), people(2)
    first, second = bare_cases(corpus, 2)
    holds, go_on, seen = threading.Event(), threading.Event(), list[int]()

    def hold() -> None:
        with transaction.atomic():
            taken = take_next(person=slow)
            assert taken is not None
            seen.append(taken.case_id)
            holds.set()
            assert go_on.wait(timeout=30)

    def skip() -> None:
        assert holds.wait(timeout=30)
        taken = take_next(person=quick)
        go_on.set()
        assert taken is not None
        seen.append(taken.case_id)

    at_once(hold, skip)
    assert seen == [first.pk, second.pk]


def test_a_row_let_go_a_moment_ago_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap: the statement began before the other's assignment was written, the row is free when it is reached."""
    corpus, (early, late) = planned_corpus(), people(2)
    first, second = bare_cases(corpus, 2)
    stale = not_of(waiting(Purpose.ANNOTATE, [corpus.pk]), late, Purpose.ANNOTATE)
    assert assign(case=first, person=early, purpose=Purpose.ANNOTATE, way=Way.MANUAL, by=None)
    blind = Case.objects.filter(pk__in=[first.pk, second.pk]).order_by(
        "id"
    )  # what a statement begun earlier sees
    assert first not in stale
    with transaction.atomic():
        taken = assignments._claim(blind, late, Purpose.ANNOTATE)
    assert taken is not None
    assert taken.case == second


def test_first_and_second_pass_taken_at_once_are_never_the_same_persons() -> None:
    corpus, takers = planned_corpus(double_share=1.0), people(6)
    cases = bare_cases(corpus, 12)

    def take_all(person: User) -> Callable[[], None]:
        def work() -> None:
            while found := take_next(person=person):
                made(found)

        return work

    at_once(*(take_all(person) for person in takers))
    passes = Assignment.objects.values("case", "person").annotate(count=Count("id"))
    assert passes.filter(count__gt=1).count() == 0
    by_purpose = Assignment.objects.values_list("case", "purpose").distinct().count()
    assert by_purpose == Assignment.objects.count()
    assert Assignment.objects.filter(purpose=Purpose.ANNOTATE).count() == len(cases)


def test_of_two_leads_who_assign_one_case_at_once_one_is_told_who_has_it() -> None:
    corpus, (one, other) = planned_corpus(), people(2)
    leads = people(2, Role.LEAD)
    refused: list[Problem] = []
    for case in bare_cases(corpus, 6):

        def work(person: User, lead: User, case: Case = case) -> None:
            try:
                assign(case=case, person=person, purpose=Purpose.ANNOTATE, way=Way.MANUAL, by=lead)
            except Problem as problem:
                refused.append(problem)

        at_once(lambda work=work: work(one, leads[0]), lambda work=work: work(other, leads[1]))  # type: ignore[misc]
    assert Assignment.objects.filter(state=AssignmentState.OPEN).count() == 6
    assert {problem.code for problem in refused} == {"already_assigned"}
    assert len(refused) == 6


def test_two_workers_that_expire_at_once_end_each_reservation_once() -> None:
    corpus, (person, *others) = planned_corpus(), people(3)
    for case, holder in zip(bare_cases(corpus, 30), [person, *others] * 10, strict=True):
        assign(case=case, person=holder, purpose=Purpose.ANNOTATE, way=Way.MANUAL, by=None, minutes=0)
    ended: list[int] = []
    at_once(*[lambda: ended.append(assignments.expire_due())] * 4)
    assert sum(ended) == 30
