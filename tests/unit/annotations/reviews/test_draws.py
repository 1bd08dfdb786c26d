"""Draws: reproducible from the recorded seed, made once, as frequent as the plan says."""

import hashlib

import pytest

from annotations.cases.models import CaseStatus
from annotations.reviews.draws import chance, draw_of, draws_of
from annotations.reviews.models import CaseDraw
from annotations.reviews.plans import current_plan, set_plan
from crashdesk.accounts.models import User
from tests.factories import make_case, make_corpus, make_guideline, make_video


def test_chance_is_the_first_eight_bytes_of_the_hash() -> None:
    digest = hashlib.sha256(b"11:blind:42").hexdigest()
    assert chance(11, "blind", 42) == int(digest[:16], 16) / 2**64


def test_chance_is_even_and_independent_of_what_else_is_drawn() -> None:
    drawn = [(chance(5, "blind", n) < 0.2, chance(5, "double", n) < 0.5) for n in range(20_000)]
    blind, double = (sum(one[place] for one in drawn) / len(drawn) for place in (0, 1))
    both = sum(one and other for one, other in drawn) / len(drawn)
    assert blind == pytest.approx(0.2, abs=0.012)  # four standard errors of a share of 20,000
    assert double == pytest.approx(0.5, abs=0.015)
    assert both == pytest.approx(0.1, abs=0.009)


def test_a_draw_is_made_once_under_the_plan_of_that_moment(lead: User) -> None:
    case = make_case()
    set_plan(corpus=case.corpus, by=lead, blind_share=1.0)
    draw = draw_of(case)
    assert (draw.blind, draw.double, draw.second) == (True, False, False)
    set_plan(corpus=case.corpus, by=lead, blind_share=0.0, double_share=1.0)
    assert draw_of(case) == draw
    assert draw_of(case).blind


def test_drafts_that_people_may_have_seen_keep_a_case_out_of_the_control_arm(lead: User) -> None:
    before, late, shown = make_case(CaseStatus.PREDICTED), make_case(CaseStatus.IN_REVIEW), make_case()
    for case in (before, late, shown):
        set_plan(corpus=case.corpus, by=lead, blind_share=1.0, double_share=1.0)
    draws = draws_of([before, late, shown], shown={shown.pk})
    assert {pk: (draw.blind, draw.double, draw.late) for pk, draw in draws.items()} == {
        before.pk: (True, True, False),
        late.pk: (False, True, True),
        shown.pk: (False, True, True),
    }


def test_without_a_plan_nothing_is_drawn(db: None) -> None:
    draw = draw_of(make_case())
    assert (draw.blind, draw.double, draw.second, draw.plan.version) == (False, False, False, 1)


def test_many_cases_are_drawn_in_a_few_queries(lead: User, django_assert_max_num_queries: object) -> None:
    corpus, guideline = make_corpus(), make_guideline()
    set_plan(corpus=corpus, by=lead, double_share=0.5, double_seed=3)
    cases = [make_case(video=make_video(corpus), guideline=guideline) for _ in range(30)]
    draw_of(cases[7])
    with django_assert_max_num_queries(6):  # type: ignore[operator]
        draws = draws_of(cases)
    plan = current_plan(corpus)
    assert {pk: draw.double for pk, draw in draws.items()} == {
        case.pk: chance(plan.double_seed, "double", case.pk) < 0.5 for case in cases
    }
    assert CaseDraw.objects.count() == 30
