"""The page of a corpus's review plan."""

import pytest
from django.test import Client

from annotations.cases.kinds import Kind
from annotations.reviews.draws import draw_of
from annotations.reviews.plans import set_plan
from crashdesk.accounts.models import User
from frontend.review_plan import percent, versions
from tests.factories import make_case, make_video


@pytest.mark.parametrize(
    ("share", "text"), [(0.125, "12.5"), (1.0, "100"), (0.0, "0"), (0.1, "10"), (1 / 3, "33.3333")]
)
def test_shares_are_percentages_without_noise(share: float, text: str) -> None:
    assert percent(share) == text


def test_the_plan_is_a_form_with_what_holds_now(client: Client, lead: User) -> None:
    case = make_case()
    corpus = case.corpus
    set_plan(
        corpus=corpus, by=lead, blind_share=1.0, blind_seed=42, double_share=0.25,
        thresholds={Kind.CRASH_LOCALIZATION.value: 0.6},
    )  # fmt: skip
    draw_of(case)
    set_plan(corpus=corpus, by=lead, gold_share=0.1)
    client.force_login(lead)
    shown = client.get(f"/corpora/{corpus.pk}/plan").content.decode()
    assert 'name="blind_seed" inputmode="numeric" pattern="[0-9]*" value="42"' in shown
    assert 'name="double_share" type="number" min="0" max="100" step="any" required value="25"' in shown
    assert (
        'name="thresholds.crash_localization" type="number" min="0" max="100" step="any" value="60"' in shown
    )
    assert 'name="thresholds.crash_recognition" type="number" min="0" max="100" step="any" value=""' in shown
    newest, middle, first = versions(corpus)
    assert newest.changed[0] == "gold share: 0.1"
    assert "thresholds: Crash span 0.6" in middle.changed
    assert (middle.drawn, middle.blind, newest.drawn) == (1, 1, 0)
    assert first.changed == []


def test_only_who_assigns_sees_it(client: Client, reviewer: User) -> None:
    client.force_login(reviewer)
    assert client.get(f"/corpora/{make_video().corpus_id}/plan").status_code == 403
