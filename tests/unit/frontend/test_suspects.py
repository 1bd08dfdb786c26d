"""The page of suspect labels."""

from typing import Any

import pytest
from django.test import Client

from annotations.cases.models import Case
from annotations.corpora.models import Access
from crashdesk.accounts.models import User
from model_assist.suspects.models import Suspect
from model_assist.suspects.searching import Tally, _write, find
from model_assist.suspects.services import dismiss, start_search
from tests.factories import make_corpus, make_guideline, make_model_version, make_user
from tests.suspects_made import NOON, bare_case, calibrate, label_case, model_answers
from tests.unit.model_assist.suspects.test_searching import NO, RECOGNITION, YES

pytestmark = pytest.mark.django_db


def get(client: Client, user: User, **query: Any) -> str:
    client.force_login(user)
    answer = client.get("/suspects", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.fixture
def case() -> Case:
    """Approved as yes; a model and somebody else said no."""
    case, judge = bare_case(make_corpus(), make_guideline(), "clip-of-doubt"), make_model_version("judge")
    calibrate(judge, RECOGNITION)
    model_answers(case, judge, {RECOGNITION: NO}, {RECOGNITION: 0.9})
    label_case(case, make_user(), {RECOGNITION: NO}, approved=False, at=NOON.replace(hour=9))
    label_case(case, make_user(), {RECOGNITION: YES})
    _write(find([case.pk]), Tally())
    return case


def test_a_label_beside_what_speaks_against_it(client: Client, reviewer: User, case: Case) -> None:
    html = get(client, reviewer)
    assert "clip-of-doubt" in html
    assert "81 %" in html  # odds of 1 to 19, times 9 and 9
    assert "judge, right 90 times of 100, says something else" in html
    assert "/dismiss" in html
    assert "1 waits for a second look" in html


def test_decided_ones_are_shown_when_asked_for(client: Client, reviewer: User, case: Case) -> None:
    dismiss(suspect=Suspect.objects.get(case=case), by=reviewer, reason="the car is hit")
    assert "clip-of-doubt" not in get(client, reviewer)
    html = get(client, reviewer, state="dismissed")
    assert "the label is right: the-reviewer" in html
    assert "the car is hit" in html
    assert "/dismiss" not in html


def test_a_search_under_way_is_told(client: Client, reviewer: User, case: Case) -> None:
    assert "No corpus has been searched yet" not in get(client, reviewer)
    start_search(corpus=case.corpus, by=reviewer)
    assert "A search waits" in get(client, reviewer, corpus=case.corpus_id)


def test_nothing_found_yet(client: Client, reviewer: User) -> None:
    assert "No corpus has been searched yet" in get(client, reviewer)
    assert "No suspect matches" in get(client, reviewer, kind=RECOGNITION)


def test_a_closed_corpus_shows_nothing(client: Client, reviewer: User, case: Case) -> None:
    case.corpus.access = Access.MEMBERS
    case.corpus.save()
    html = get(client, reviewer, corpus=case.corpus_id)
    assert "clip-of-doubt" not in html
    assert case.corpus.name not in html


def test_annotators_may_not(client: Client, annotator: User) -> None:
    client.force_login(annotator)
    assert client.get("/suspects").status_code == 403
