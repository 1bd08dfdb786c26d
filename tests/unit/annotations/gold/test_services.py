"""Marking gold cases and scoring what people answer, also when it is edited, taken back, or the key was wrong."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.gold.asking import next_gold
from annotations.gold.models import GoldScore
from annotations.gold.pauses import counted
from annotations.gold.services import due, mark, score_due, score_if_gold, set_tolerances, unmark
from annotations.reviews.decisions import approve, return_case
from annotations.reviews.models import AssignmentState, Purpose
from annotations.reviews.passes import latest_submitted
from annotations.reviews.services import record_skip, withdraw
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.disputes_made import answer, make_plan
from tests.factories import CRASH, make_case
from tests.gold_made import WRONG, answer_gold, edit, make_gold

pytestmark = pytest.mark.django_db
ONSET = Kind.PRE_CRASH_LOCALIZATION


def test_only_an_approved_case_is_marked_and_only_once(lead: User) -> None:
    with pytest.raises(Problem) as caught:
        mark(case=make_case(CaseStatus.SUBMITTED), by=lead)
    assert caught.value.code == "not_approved"
    gold = mark(case=make_case(CaseStatus.APPROVED), by=lead, tolerances={ONSET: 100_000})
    with pytest.raises(Problem) as caught:
        mark(case=gold.case, by=lead)
    assert caught.value.code == "already_gold"
    unmark(gold=gold, by=lead)
    assert mark(case=gold.case, by=lead).pk != gold.pk


def test_who_is_measured_does_not_mark(reviewer: User) -> None:
    with pytest.raises(Problem) as caught:
        mark(case=make_case(CaseStatus.APPROVED), by=reviewer)
    assert caught.value.status == 403


def test_a_gold_pass_moves_nothing_and_counts_for_nothing(annotator: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    before = latest_submitted(gold.case)
    pointed = set(gold.case.approved.values_list("answer", flat=True))
    made = answer_gold(annotator, WRONG)
    case = Case.objects.get(pk=gold.case_id)
    assert (case.status, latest_submitted(case)) == (CaseStatus.APPROVED, before)
    assert set(case.approved.values_list("answer", flat=True)) == pointed
    assert made.review.purpose == Purpose.GOLD
    assert made.review.assignment is not None
    assert made.review.assignment.state == AssignmentState.DONE
    assert not [event for event in history(made.review) if event.verb == "review.case_left_alone"]


def test_a_gold_answer_is_never_approved_even_when_the_case_is_open_again(
    annotator: User, lead: User
) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    answer_gold(annotator, WRONG)
    case = return_case(case=gold.case, reason="look again", by=lead)
    author = latest_submitted(case)
    assert author is not None
    edit(author, CRASH)
    approve(case=case, by=lead)
    assert {one.answer.author for one in case.approved.select_related("answer__author")} <= {
        None,
        author.reviewer,
    }


def test_an_answer_is_scored_per_kind_against_the_approved_answers(annotator: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    made = answer_gold(annotator, WRONG)
    assert made.score == pytest.approx((4 + 0.15 + 1 / 6) / 6, abs=1e-6)
    key = dict(gold.case.approved.values_list("kind", "answer"))
    assert {kind: one["key"] for kind, one in made.by_kind.items()} == key
    assert made.by_kind[Kind.CRASH_LOCALIZATION]["score"] == 0.15
    assert score_if_gold(made.review) == made
    assert [event.verb for event in history(made)] == ["gold_score.given"]


def test_an_edit_is_scored_anew_and_both_scores_stay_in_the_log(annotator: User) -> None:
    make_gold(make_plan(gold_share=1.0))
    made = answer_gold(annotator, WRONG)
    score_if_gold(edit(made.review, CRASH))
    made.refresh_from_db()
    assert made.score == 1.0
    assert [event.data["score"] for event in history(made)] == [1.0, pytest.approx(0.719444)]


def test_what_was_taken_back_counts_no_longer_and_what_is_drawn_anew_does(annotator: User) -> None:
    (gold,) = make_gold(plan := make_plan(gold_share=1.0))
    made = answer_gold(annotator, WRONG)
    withdraw(review=made.review, by=None)
    assert counted(annotator, plan.corpus_id) == []  # at once, before anything is scored again
    assert list(due()) == [made.review]
    assert score_due() == 1
    made.refresh_from_db()
    assert made.counts is False
    assert score_due() == 0
    again = answer(gold.case, annotator, CRASH, origin="test:anew", assignment=made.review.assignment)
    assert again.purpose == Purpose.GOLD
    scored = score_if_gold(again)
    assert scored is not None
    assert counted(annotator, plan.corpus_id) == [scored]


def test_a_skipped_gold_case_is_no_answer(annotator: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    given = next_gold(annotator)
    assert given is not None
    review = record_skip(case=gold.case, reviewer=annotator, origin="test:skip", lead_seconds=1.0)
    assert (review.purpose, score_if_gold(review)) == (Purpose.GOLD, None)
    assert Case.objects.get(pk=gold.case_id).status == CaseStatus.APPROVED


def test_a_new_key_is_scored_anew(annotator: User, lead: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    made = answer_gold(annotator, WRONG)
    case = return_case(case=gold.case, reason="the key is wrong", by=lead)
    assert score_if_gold(made.review) == made  # no key: what was scored stays
    author = latest_submitted(case)
    assert author is not None
    edit(author, WRONG)
    approve(case=case, by=lead)
    assert list(due()) == [made.review]
    assert score_due() == 1
    made.refresh_from_db()
    assert made.score == 1.0


def test_a_wrong_key_takes_its_scores_back(annotator: User, lead: User) -> None:
    (gold,) = make_gold(plan := make_plan(gold_share=1.0))
    made = answer_gold(annotator, WRONG)
    with pytest.raises(Problem):
        unmark(gold=gold, by=lead, void=True)
    unmark(gold=gold, by=lead, void=True, reason="the span was wrong")
    made.refresh_from_db()
    assert made.counts is False
    assert counted(annotator, plan.corpus_id) == []
    assert score_due() == 0


def test_a_gold_case_that_retires_keeps_its_scores(annotator: User, lead: User) -> None:
    (gold,) = make_gold(plan := make_plan(gold_share=1.0))
    made = answer_gold(annotator)
    unmark(gold=gold, by=lead, reason="too well known")
    assert counted(annotator, plan.corpus_id) == [made]
    assert next_gold(annotator) is None


def test_new_tolerances_score_what_was_answered_before(annotator: User, lead: User) -> None:
    (gold,) = make_gold(make_plan(gold_share=1.0))
    made = answer_gold(annotator, {**CRASH, ONSET: Said("valued", {"at_us": 1_300_000})})
    assert made.score == pytest.approx((5 + 0.5 / 0.6) / 6, abs=1e-6)
    set_tolerances(gold=gold, tolerances={ONSET: 100_000}, by=lead)
    made.refresh_from_db()
    assert made.score == 1.0
    with pytest.raises(Problem):
        set_tolerances(gold=gold, tolerances={ONSET: -1}, by=lead)


def test_other_reviews_are_not_scored(annotator: User) -> None:
    case = make_case(CaseStatus.IN_REVIEW)
    assert score_if_gold(answer(case, annotator)) is None
    assert not GoldScore.objects.exists()


def test_what_the_pull_missed_is_scored_later(annotator: User) -> None:
    make_gold(make_plan(gold_share=1.0))
    given = next_gold(annotator)
    assert given is not None
    review = answer(given.case, annotator, WRONG)
    assert score_due() == 1
    assert GoldScore.objects.get().review == review
    assert score_due() == 0
    edit(review, CRASH)
    assert score_due() == 1
    assert GoldScore.objects.get().score == 1.0
