"""Who is given a gold case, when, and which: drawn by a recorded seed, never twice, never one's own."""

import pytest

from annotations.cases.models import CaseStatus
from annotations.gold.asking import barred, entrance_left, next_gold, unseen
from annotations.gold.models import GoldCase
from annotations.gold.services import mark
from annotations.reviews.assignments import assign
from annotations.reviews.decisions import return_case
from annotations.reviews.draws import chance
from annotations.reviews.models import Assignment, Purpose, ReviewPlan, Way
from annotations.reviews.plans import set_plan
from annotations.reviews.services import withdraw
from crashdesk.accounts.models import Role, User
from tests.disputes_made import answer, make_plan
from tests.factories import make_case, make_user, make_video
from tests.gold_made import answer_gold, make_gold

pytestmark = pytest.mark.django_db


def take_ordinary(plan: ReviewPlan, person: User) -> None:
    case = make_case(CaseStatus.PREDICTED, video=make_video(plan.corpus))
    assign(case=case, person=person, purpose=Purpose.ANNOTATE, way=Way.TAKEN, by=person)


def test_the_entrance_comes_before_everything_else(annotator: User) -> None:
    plan = make_plan(gold_entrance=2)
    make_gold(plan, 3)
    assert (entrance_left(annotator, plan), barred(annotator)) == (2, {plan.corpus_id})
    answer_gold(annotator)
    given = next_gold(annotator)
    assert next_gold(annotator) == given  # until it is answered
    assert barred(annotator) == {plan.corpus_id}
    answer_gold(annotator)
    assert (entrance_left(annotator, plan), barred(annotator), next_gold(annotator)) == (0, set(), None)


def test_an_entrance_is_no_longer_than_there_are_gold_cases(annotator: User) -> None:
    plan = make_plan(gold_entrance=5)
    assert (entrance_left(annotator, plan), barred(annotator)) == (0, set())
    make_gold(plan, 1)
    assert entrance_left(annotator, plan) == 1
    answer_gold(annotator)
    assert barred(annotator) == set()


def test_an_entrance_taken_back_is_to_be_passed_again(annotator: User) -> None:
    plan = make_plan(gold_entrance=1)
    make_gold(plan, 2)
    made = answer_gold(annotator)
    assert entrance_left(annotator, plan) == 0
    withdraw(review=made.review, by=None)
    assert entrance_left(annotator, plan) == 1


def test_hidden_repeats_come_where_the_seed_says(annotator: User) -> None:
    drawn = {seed: [chance(seed, f"gold:{annotator.pk}", n) < 0.4 for n in range(12)] for seed in range(50)}
    seed = next(seed for seed, turns in drawn.items() if 2 <= sum(turns) <= 8)
    plan = make_plan(gold_share=0.4, gold_seed=seed)
    make_gold(plan, 8)
    turns = []
    for _ in range(12):
        given = next_gold(annotator)
        turns.append(given is not None)
        if given is None:
            take_ordinary(plan, annotator)
        else:
            answer(given.case, annotator)
    assert turns == drawn[seed]


def test_asking_again_gives_the_same_answer(annotator: User) -> None:
    plan = make_plan(gold_share=0.5, gold_seed=4)
    make_gold(plan, 3)
    first = next_gold(annotator)
    assert [next_gold(annotator) for _ in range(3)] == [first] * 3


def test_two_people_get_them_in_their_own_order(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_seed=8)
    make_gold(plan, 6)
    orders = []
    for person in (annotator, make_user(Role.ANNOTATOR)):
        orders.append([answer_gold(person).gold.case_id for _ in range(6)])
        assert next_gold(person) is None
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_nobody_gets_a_case_they_know(annotator: User, lead: User, reviewer: User) -> None:
    plan = make_plan(gold_share=1.0)
    case = make_case(CaseStatus.APPROVED, video=make_video(plan.corpus), reviewer=annotator, lead=reviewer)
    mark(case=case, by=lead)
    assert (next_gold(annotator), next_gold(reviewer)) == (None, None)
    assert next_gold(make_user(Role.ANNOTATOR)) is not None


def test_who_knows_the_gold_cases_is_not_asked(lead: User) -> None:
    plan = make_plan(gold_share=1.0, gold_entrance=1)
    make_gold(plan, 2)
    assert (next_gold(lead), barred(lead)) == (None, set())


def test_without_a_share_nobody_is_asked(annotator: User, lead: User) -> None:
    plan = make_plan()
    make_gold(plan, 2)
    assert next_gold(annotator) is None
    set_plan(corpus=plan.corpus, by=lead, gold_share=1.0)
    assert next_gold(annotator, plan.corpus) is not None


def test_another_corpus_is_another_matter(annotator: User) -> None:
    plan, other = make_plan(gold_share=1.0), make_plan()
    make_gold(plan, 1)
    assert next_gold(annotator, other.corpus) is None
    given = next_gold(annotator)
    assert given is not None
    assert next_gold(annotator, other.corpus) is None


def test_a_case_that_is_open_again_is_not_given(annotator: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0)
    (gold,) = make_gold(plan)
    return_case(case=gold.case, reason="look again", by=lead)
    assert next_gold(annotator) is None
    assert not unseen(annotator, plan.corpus_id).exists()
    assert GoldCase.objects.get().unmarked_at is None


def test_one_gold_case_is_given_once(annotator: User) -> None:
    make_gold(make_plan(gold_share=1.0))
    answer_gold(annotator)
    assert next_gold(annotator) is None
    assert Assignment.objects.filter(purpose=Purpose.GOLD).count() == 1
