"""The page about agreement: numbers with their intervals and counts, what drafts do, and what to do without any."""

from typing import Any

import pytest
from django.test import Client

from annotations.quality.cells import Result, Standing
from crashdesk.accounts.models import User
from frontend import quality
from tests.factories import CRASH, make_corpus, make_guideline, make_user
from tests.unit.annotations.quality.made import NO, YES, case_of, review

pytestmark = pytest.mark.django_db


def get(client: Client, user: User, **query: Any) -> str:
    client.force_login(user)
    answer = client.get("/agreement", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def result(value: float | None, **given: Any) -> Result:
    fields: dict[str, Any] = {
        "name": "same", "unit": "share", "low": None, "high": None, "count": 25, "recordings": 25,
        "standing": Standing.GIVEN,
    }  # fmt: skip
    return Result(**{**fields, "value": value, **given})


def test_numbers_in_words() -> None:
    assert quality.shown(None) == quality.NOTHING
    assert quality.shown(result(None, count=0, standing=Standing.TOO_FEW)) == quality.NOTHING
    few = quality.shown(result(None, count=9, standing=Standing.TOO_FEW))
    assert (few.value, few.basis, few.missing) == ("too few", "9 of 10 pairs", True)
    alike = quality.shown(result(None, name="alpha", unit="coefficient", standing=Standing.UNDEFINED))
    assert (alike.value, alike.basis) == ("undefined", "25 pairs, all alike")
    whole = quality.shown(result(0.754, low=0.5, high=0.9))
    assert (whole.value, whole.interval, whole.basis) == ("75 %", "50 % to 90 %", "25 pairs")
    short = quality.shown(result(0.754, recordings=12))
    assert (short.value, short.interval) == ("75 %", "no interval: 12 of 20 recordings")
    assert quality.shown(result(1.0)).interval == "no interval: all alike"
    assert quality.shown(result(-0.001, name="alpha", unit="coefficient")).value == "0.00"
    assert quality.shown(result(-0.2, name="shift", unit="seconds")).value == "-0.20 s"
    assert quality.shown(result(0.2, name="error", unit="seconds")).value == "0.20 s"
    assert quality.shown(result(0.5, name="tiou")).value == "0.50"


def test_without_a_second_review_it_says_how_to_get_one(client: Client, lead: User) -> None:
    shown = get(client, lead)
    assert "No case has been reviewed by two people" in shown
    assert "10 such cases give a first number" in shown
    assert "By kind of answer" not in shown
    review(case_of(make_corpus(), make_guideline()), make_user())
    assert "1 of cases that nobody else reviewed" in get(client, lead)


def test_numbers_with_intervals_by_kind_source_pair_of_persons_and_period(client: Client, lead: User) -> None:
    corpus, guideline = make_corpus("North <1>"), make_guideline()
    ada, bob = make_user(), make_user()
    cases = [case_of(corpus, guideline, source="A&B") for _ in range(24)]
    for place, case in enumerate(cases):
        review(case, ada, YES)
        review(case, bob, NO if place == 5 else YES)
    shown = get(client, lead, corpus=corpus.pk)
    assert "96 %" in shown
    assert "24 pairs" in shown
    assert f'<a href="/cases/{cases[5].pk}">' in shown
    assert f'<a href="/cases/{cases[4].pk}">' not in shown
    assert "A&amp;B" in shown
    assert "North &lt;1&gt;" in shown
    assert "plot__whisker" in shown
    assert "from 2026-03-01: 96 %" in shown
    assert shown.count(f'<th scope="row">{ada.username}</th>') == 6, "a matrix for every kind"
    assert "Drafts make people agree" not in shown, "all were begun without one"
    told = client.get("/api/agreement", {"corpus": corpus.pk}).json()
    kinds = [arm for kind in told["kinds"] for arm in kind["arms"] if arm["arm"] == "all" and arm["compared"]]
    groups = [told[name][0]["kinds"][0] for name in ("sources", "people", "periods")]
    for cell in (kinds[0], *groups):
        (same,) = [one for one in cell["measures"] if one["name"] == "same"]
        assert same["value"] == pytest.approx(23 / 24)
        assert 0.8 < same["low"] < same["value"] <= same["high"] <= 1
        interval = f"{100 * same['low']:.0f} % to {100 * same['high']:.0f} %"
        assert interval in shown
    for title in ("By kind of answer", "Pairs of persons", "Over time", "By source"):
        after = shown.split(f">{title}<")[1].split("</section>")[0]
        assert interval in after, title
    assert f"/api/agreement.csv?corpus={corpus.pk}" in shown


def test_what_drafts_do_is_said(client: Client, lead: User) -> None:
    case = case_of(make_corpus(), make_guideline(), drafted=True)
    review(case, make_user(), CRASH)
    review(case, make_user(), CRASH)
    shown = get(client, lead)
    assert "Drafts make people agree" in shown
    assert "Only pairs in which neither began from a draft do: 0 of 1" in shown
    assert "1 consist of that draft twice, untouched" in shown
    assert "All reviews of the same case say the same." in shown


def test_filters_that_make_no_sense_are_told_and_not_used(client: Client, lead: User) -> None:
    shown = get(client, lead, corpus="x", kind="colour", **{"from": "soon"})
    assert shown.count("is not used") == 3
    narrowed = get(client, lead, source="nowhere")
    assert "reviewed by two people among these" in narrowed
    assert 'value="nowhere"' in narrowed


def test_only_those_who_may_export_see_it_or_a_link_to_it(
    client: Client, lead: User, engineer: User, reviewer: User, annotator: User
) -> None:
    corpus = make_corpus()
    for user, may in ((lead, True), (engineer, True), (reviewer, False), (annotator, False)):
        client.force_login(user)
        assert client.get("/agreement").status_code == (200 if may else 403)
        assert (
            f'href="/agreement?corpus={corpus.pk}"' in client.get(f"/corpora/{corpus.pk}").content.decode()
        ) is may
    client.logout()
    assert client.get("/agreement").status_code == 302
