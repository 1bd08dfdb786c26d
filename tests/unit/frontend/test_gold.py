"""The page of gold cases, for leads alone."""

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.gold.pauses import lift, open_pause
from annotations.gold.services import set_tolerances, unmark
from crashdesk.accounts.models import User
from tests.disputes_made import make_plan
from tests.gold_made import WRONG, answer_gold, make_gold


def html(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_persons_scores_pause_and_cases_are_shown(client: Client, lead: User, annotator: User) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=2)
    one, other = make_gold(plan, 2)
    answer_gold(annotator)
    answer_gold(annotator, WRONG)
    client.force_login(lead)
    shown = html(client, f"/gold?corpus={plan.corpus_id}")
    assert f"Gold scores of {annotator.username}: 1.00, 0.72" in shown
    assert "mean 86 % of the last 2" in shown
    assert "Below a mean of 80 % over the last 2" in shown
    assert "Crash span 57 %" in shown  # (1 + 0.15) / 2 = 0.575
    assert str(one.case_id) in shown
    set_tolerances(gold=one, tolerances={Kind.PRE_CRASH_LOCALIZATION.value: 200_000}, by=lead)
    unmark(gold=other, by=lead, reason="too well known")
    shown = html(client, f"/gold?corpus={plan.corpus_id}")
    assert "Onset 0.2 s" in shown
    assert "retired: too well known" in shown


def test_a_pause_can_be_lifted_from_the_page_and_is_remembered(
    client: Client, lead: User, annotator: User
) -> None:
    plan = make_plan(gold_share=1.0, gold_limit=0.8, gold_window=1)
    make_gold(plan)
    answer_gold(annotator, WRONG)
    held = open_pause(annotator, plan.corpus_id)
    assert held is not None
    client.force_login(lead)
    shown = html(client, f"/gold?corpus={plan.corpus_id}")
    assert f"/api/pauses/{held.pk}/lift" in shown
    assert "by the system: the mean of the last 1 gold cases is below 0.80 (mean 72 %)" in shown
    lift(pause=held, reason="we talked", by=lead)
    shown = html(client, f"/gold?corpus={plan.corpus_id}")
    assert "Pauses that are over" in shown
    assert "we talked" in shown


@pytest.mark.django_db
def test_an_empty_corpus_says_what_to_do(client: Client, lead: User) -> None:
    client.force_login(lead)
    assert "There is no corpus yet." in html(client, "/gold")
    plan = make_plan()
    shown = html(client, "/gold")
    assert "The plan gives nobody a gold case yet." in shown
    assert "Nobody has answered a gold case" in shown
    assert client.get("/gold?corpus=999999").status_code == 404
    assert client.get(f"/gold?corpus={plan.corpus_id}").status_code == 200


def test_who_is_measured_sees_nothing_of_it(client: Client, annotator: User, reviewer: User) -> None:
    for person in (annotator, reviewer):
        client.force_login(person)
        assert client.get("/gold").status_code == 403
        assert 'href="/gold"' not in html(client, "/cases")
