"""Who is paused, when that ends, and what is judged."""

import pytest

from annotations.gold.asking import barred, next_gold
from annotations.gold.models import Pause
from annotations.gold.pauses import judge, lift, open_pause, pause, paused_in, standing
from annotations.gold.services import score_if_gold, unmark
from annotations.reviews.plans import set_plan
from annotations.reviews.services import withdraw
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import history
from tests.disputes_made import make_plan
from tests.factories import CRASH
from tests.gold_made import WRONG, answer_gold, edit, make_gold

pytestmark = pytest.mark.django_db


def test_a_mean_below_the_limit_pauses_and_says_why(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=2)
    make_gold(plan, 4)
    first = answer_gold(annotator, WRONG)
    assert open_pause(annotator, plan.corpus_id) is None  # fewer than the window
    second = answer_gold(annotator, WRONG)
    held = Pause.objects.get()
    assert (held.person, held.plan, held.paused_by) == (annotator, plan, None)
    assert held.scores == [first.pk, second.pk]
    assert held.mean == pytest.approx(0.719444)
    assert history(held).get().verb == "person.paused"
    assert (paused_in(annotator), barred(annotator), next_gold(annotator)) == (
        {plan.corpus_id},
        {plan.corpus_id},
        None,
    )


def test_only_the_newest_scores_are_judged(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=2)
    make_gold(plan, 4)
    scores = [answer_gold(annotator, said) for said in (WRONG, CRASH, CRASH)]
    now = standing(annotator, plan.corpus_id)
    assert (list(now.scores), now.mean, now.below) == (scores[1:], 1.0, False)
    answer_gold(annotator, WRONG)
    assert standing(annotator, plan.corpus_id).mean == pytest.approx((1 + 0.719444) / 2)
    assert not Pause.objects.exists()


def test_failing_the_entrance_pauses_at_its_end(annotator: User) -> None:
    plan = make_plan(gold_entrance=2, gold_limit=0.8, gold_window=10)
    make_gold(plan, 3)
    answer_gold(annotator, WRONG)
    assert open_pause(annotator, plan.corpus_id) is None
    answer_gold(annotator, WRONG)
    assert open_pause(annotator, plan.corpus_id) is not None


def test_without_a_limit_nobody_is_paused(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_window=1)
    make_gold(plan)
    answer_gold(annotator, WRONG)
    assert not Pause.objects.exists()


def test_a_lead_lifts_it_and_the_person_begins_anew(annotator: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    make_gold(plan, 3)
    answer_gold(annotator, WRONG)
    held = lift(pause=Pause.objects.get(), reason="we talked about spans", by=lead)
    assert (held.lifted_by, held.lift_reason) == (lead, "we talked about spans")
    assert judge(person=annotator, corpus=plan.corpus_id) is None
    assert standing(annotator, plan.corpus_id).scores == []
    answer_gold(annotator)
    assert paused_in(annotator) == set()
    answer_gold(annotator, WRONG)
    assert paused_in(annotator) == {plan.corpus_id}
    with pytest.raises(Problem) as caught:
        lift(pause=held, reason="again", by=lead)
    assert caught.value.code == "not_paused"


def test_only_a_lead_lifts_and_only_with_a_reason(annotator: User, reviewer: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    make_gold(plan)
    answer_gold(annotator, WRONG)
    with pytest.raises(Problem) as caught:
        lift(pause=Pause.objects.get(), reason="I like them", by=reviewer)
    assert caught.value.status == 403
    with pytest.raises(Problem) as caught:
        lift(pause=Pause.objects.get(), reason="  ", by=lead)
    assert caught.value.code == "reason_needed"


def test_a_pause_whose_ground_was_edited_away_ends_by_itself(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    make_gold(plan)
    made = answer_gold(annotator, WRONG)
    score_if_gold(edit(made.review, CRASH))
    held = Pause.objects.get()
    assert (held.lifted_at is not None, held.lifted_by) == (True, None)
    assert [event.verb for event in history(held)] == ["person.pause_lifted", "person.paused"]


def test_an_edit_can_also_pause(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    make_gold(plan)
    made = answer_gold(annotator)
    score_if_gold(edit(made.review, WRONG))
    assert paused_in(annotator) == {plan.corpus_id}


def test_a_wrong_key_ends_the_pause_it_caused(annotator: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    (gold,) = make_gold(plan)
    answer_gold(annotator, WRONG)
    unmark(gold=gold, by=lead, void=True, reason="the span was wrong")
    assert paused_in(annotator) == set()


def test_taking_back_one_bad_answer_of_two_does_not_end_a_pause(annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=2)
    make_gold(plan, 2)
    made = answer_gold(annotator, WRONG)
    answer_gold(annotator, WRONG)
    score_if_gold(withdraw(review=made.review, by=None))
    assert paused_in(annotator) == {plan.corpus_id}


def test_what_a_lead_paused_no_score_ends(annotator: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.1, gold_window=1)
    make_gold(plan)
    held = pause(person=annotator, corpus=plan.corpus, reason="on holiday", by=lead)
    assert judge(person=annotator, corpus=plan.corpus_id) == held
    with pytest.raises(Problem) as caught:
        pause(person=annotator, corpus=plan.corpus, reason="again", by=lead)
    assert caught.value.code == "already_paused"
    assert lift(pause=held, reason="back", by=lead).lifted_by == lead


def test_a_lower_limit_is_judged_at_the_next_score(annotator: User, lead: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    make_gold(plan)
    answer_gold(annotator, WRONG)
    set_plan(corpus=plan.corpus, by=lead, gold_limit=0.5)
    assert judge(person=annotator, corpus=plan.corpus_id) is None
    assert paused_in(annotator) == set()
