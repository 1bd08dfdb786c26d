"""Giving many cases to many people."""

from collections import Counter

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from annotations.cases.models import Case
from annotations.corpora.models import Corpus
from annotations.reviews import assignments
from annotations.reviews.assignments_sharing import (
    Shared,
    assign_many,
    loads,
    rebalance,
    share_out,
    workers_of,
    worth,
)
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from annotations.reviews.tasks import expire_assignments
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.assign_made import bare_cases, drafted, given, people, planned_corpus, submit
from tests.factories import make_user

pytestmark = pytest.mark.django_db


def turns(shared: Shared) -> list[User]:
    return [one.person for one in shared.given]


def in_turn(corpus: Corpus, cases: list[Case], **asked: object) -> list[User]:
    return turns(share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=None, cases=cases, **asked))  # type: ignore[arg-type]


def open_counts(corpus: Corpus) -> Counter[int]:
    held = Assignment.objects.filter(case__corpus=corpus, state=AssignmentState.OPEN)
    return Counter(held.values_list("person", flat=True))


def test_who_works_somewhere(lead: User, admin: User, engineer: User) -> None:
    corpus, (one, other), gone = planned_corpus(), people(2), make_user(Role.ANNOTATOR)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    Membership.objects.create(user=engineer, corpus=corpus, role=Role.ANNOTATOR)
    Membership.objects.create(user=other, corpus=corpus, role=Role.LEAD)
    assert list(workers_of(corpus)) == sorted([one, engineer], key=lambda user: user.pk)
    corpus.access = "members"
    corpus.save()
    assert list(workers_of(corpus)) == [engineer]


def test_in_turn_and_on_from_whoever_was_last() -> None:
    corpus, (a, b, c) = planned_corpus(), people(3)
    cases = bare_cases(corpus, 7)
    assert in_turn(corpus, cases[:4]) == [a, b, c, a]
    assert in_turn(corpus, cases[4:]) == [b, c, a]


def test_in_turn_leaves_out_whoever_has_enough() -> None:
    corpus, (a, b) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 8)
    given(cases[0], a)
    given(cases[1], a)
    assert in_turn(corpus, cases[2:], most=3) == [a, b, b, b]
    assert open_counts(corpus) == {a.pk: 3, b.pk: 3}


def test_the_best_free_person_first() -> None:
    corpus, (weak, strong) = planned_corpus(), people(2)
    bare_cases(corpus, 6)
    shared = share_out(
        corpus=corpus, way=Way.SKILL_AND_LOAD, by=None, most=4, skills={weak.pk: 0.45, strong.pk: 0.9}
    )  # fmt: skip
    # Worth of strong with 0, 1, 2, 3 cases: .9, .675, .45, .225; of weak: .45, .3375, .225. Equals: who has less.
    assert turns(shared) == [strong, strong, weak, strong, weak, weak]


def test_load_decides_among_equals() -> None:
    corpus, (a, b) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 5)
    given(cases[0], a)
    assert turns(share_out(corpus=corpus, way=Way.SKILL_AND_LOAD, by=None)) == [b, a, b, a]


@drawn(st.floats(0.01, 1), st.integers(0, 9), st.integers(10, 50))
def test_worth_falls_with_load_and_rises_with_skill(skill: float, load: int, most: int) -> None:
    assert worth(skill=skill, load=load, most=most) > worth(skill=skill, load=load + 1, most=most)
    assert worth(skill=skill, load=load, most=most) >= worth(skill=skill / 2, load=load, most=most)
    assert 0 <= worth(skill=skill, load=load, most=most) <= 1


def test_ranked_cases_go_first_and_nobody_is_given_more_than_they_may_hold() -> None:
    corpus, (only,) = planned_corpus(), people(1)
    cases = bare_cases(corpus, 5)
    Case.objects.filter(pk=cases[4].pk).update(review_rank=1)
    shared = share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=None, most=2)
    assert [one.case for one in shared.given] == [cases[4], cases[0]]
    assert share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=None, most=2).given == []
    assert loads([only]) == {only.pk: 2}


def test_two_passes_of_a_case_go_to_two_people() -> None:
    corpus, pair = planned_corpus(double_share=1.0), people(2)
    (case,) = bare_cases(corpus, 1)
    share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=None)
    shared = share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=None)
    assert [(one.case, one.purpose) for one in shared.given] == [(case, Purpose.DOUBLE)]
    assert set(Assignment.objects.values_list("person", flat=True)) == {person.pk for person in pair}


def test_where_nobody_may_have_a_case_it_says_why() -> None:
    corpus, (only,) = planned_corpus(double_share=1.0), people(1)
    (case,) = bare_cases(corpus, 1)
    given(case, only)
    shared = share_out(corpus=corpus, way=Way.SKILL_AND_LOAD, by=None)
    assert shared.given == []
    assert shared.left[case.pk].code == "both_passes"


def test_nobody_to_share_out_to_and_nobody_who_may() -> None:
    corpus = planned_corpus()
    with pytest.raises(Problem) as caught:
        share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=None)
    assert caught.value.code == "no_people"
    (annotator,) = people(1)
    with pytest.raises(Problem) as caught:
        share_out(corpus=corpus, way=Way.ROUND_ROBIN, by=annotator)
    assert caught.value.code == "not_allowed"


def test_many_to_one_person_as_far_as_possible(lead: User) -> None:
    corpus, (a, b) = planned_corpus(), people(2)
    cases = bare_cases(corpus, 3)
    given(cases[1], b)
    shared = assign_many(cases=cases, person=a, by=lead)
    assert [one.case for one in shared.given] == [cases[0], cases[2]]
    assert {case: problem.code for case, problem in shared.left.items()} == {cases[1].pk: "already_assigned"}
    with pytest.raises(Problem) as caught:
        assign_many(cases=cases, person=a, by=b)
    assert caught.value.code == "not_allowed"


def test_rebalancing_evens_out_what_was_not_opened(lead: User) -> None:
    corpus, (a, b, c) = planned_corpus(), people(3)
    cases = bare_cases(corpus, 9)
    held = [given(case, a) for case in cases[:8]]
    given(cases[8], b)
    assignments.begin(held[0])
    moved = rebalance(corpus=corpus, by=lead)
    assert open_counts(corpus) == {a.pk: 3, b.pk: 3, c.pk: 3}
    assert len(moved) == 5
    assert all(one.before == a for one in moved)
    held[0].refresh_from_db()
    assert held[0].state == AssignmentState.OPEN
    told = [event.verb for event in history(cases[7])[:2]]
    assert told == ["case.assigned", "case.released"]
    assert rebalance(corpus=corpus, by=lead) == []


def test_whoever_is_paused_or_has_left_gives_away_what_they_have_not_opened(lead: User) -> None:
    corpus, (paused, gone, stays) = planned_corpus(), people(3)
    cases = bare_cases(corpus, 4)
    begun = given(cases[0], paused)
    assignments.begin(begun)
    given(cases[1], paused)
    given(cases[2], gone)
    User.objects.filter(pk=gone.pk).update(is_active=False)
    rebalance(corpus=corpus, by=lead, without=[paused.pk])
    assert open_counts(corpus) == {paused.pk: 1, stays.pk: 2}


def test_rebalancing_never_gives_anybody_both_passes(lead: User) -> None:
    corpus, (a, b) = planned_corpus(double_share=1.0), people(2)
    cases = bare_cases(corpus, 4)
    for case in cases:
        given(case, a)
    given(cases[3], b, Purpose.DOUBLE)
    rebalance(corpus=corpus, by=lead)
    pairs = Assignment.objects.filter(state=AssignmentState.OPEN).values_list("case", "person")
    assert len(set(pairs)) == len(pairs) == 5
    assert open_counts(corpus) == {a.pk: 3, b.pk: 2}


def test_what_was_returned_to_somebody_stays_theirs(lead: User) -> None:
    corpus, (a, _) = planned_corpus(), people(2)
    for case in drafted(corpus, 3):
        submit(case, a)
        Case.objects.filter(pk=case.pk).update(status="returned")
        assignments.hand_back(case=case, by=lead)
    assert rebalance(corpus=corpus, by=lead) == []
    assert open_counts(corpus) == {a.pk: 3}


def test_the_beat_ends_what_is_over() -> None:
    corpus, (a,) = planned_corpus(), people(1)
    expired, moot = bare_cases(corpus, 2)
    given(expired, a, minutes=0)
    given(moot, a)
    Case.objects.filter(pk=moot.pk).update(status="approved")
    assert expire_assignments() == 2
    assert expire_assignments() == 0
