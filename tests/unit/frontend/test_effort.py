"""The page about effort: a saving only with its control, and what is missing else."""

from typing import Any

import numpy as np
import pytest
from django.test import Client

from annotations.corpora.models import Access
from annotations.reviews.changes import Change
from crashdesk.accounts.models import User
from frontend import effort
from tests.effort_made import Worked, drawn_case, many_reviews, moments, submit
from tests.factories import CRASH, make_corpus, make_guideline, make_user

pytestmark = pytest.mark.django_db


def get(client: Client, user: User, **query: Any) -> str:
    client.force_login(user)
    answer = client.get("/effort", query)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "—"),
        (4.25, "4.2 s"),
        (48.2, "48 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (59.7, "1 min 00 s"),
    ],
)
def test_durations_in_words(seconds: float | None, words: str) -> None:
    assert effort.duration(seconds) == words


def test_nobody_has_submitted_anything(client: Client, lead: User) -> None:
    html = get(client, lead)
    assert "Nobody has submitted a review" in html
    assert "No saving can be told yet." in html


def test_without_a_control_the_page_says_what_is_missing_and_no_saving(client: Client, lead: User) -> None:
    case, person = drawn_case(make_corpus(), make_guideline(), blind=False), make_user()
    moments(person, case, [30, 10])
    submit(case, person, changes={"crash_localization": Change("edited", 0.25, -500_000, 1_000_000)})
    html = get(client, lead)
    assert "No saving can be told yet." in html
    assert "of 40 reviews with measured activity of blind cases" in html
    assert "saving__number" not in html
    assert "20 s" in html
    assert "-0.50 s" in html
    assert person.username in html


def test_with_a_control_the_saving_has_its_interval(client: Client, lead: User) -> None:
    draw, persons = np.random.default_rng(5), [make_user(), make_user()]
    reviews = [
        Worked(persons[n // 2 % 2], (60 if n < 40 else 40) * (1 + 0.1 * draw.normal()), n < 40, CRASH)
        for n in range(90)
    ]
    many_reviews(make_corpus(), make_guideline(), reviews, draft=CRASH)
    html = get(client, lead)
    assert "saving__number" in html
    assert "% of the time (95 % CI " in html
    assert "From 50 reviews with a draft and 40 blind ones by 2 people, 90 recordings." in html


def test_a_filter_that_makes_no_sense_is_told(client: Client, lead: User) -> None:
    assert "The filter “from” is not used" in get(client, lead, **{"from": "soon"})


def test_a_closed_corpus_shows_nothing(client: Client, lead: User) -> None:
    corpus, person = make_corpus(), make_user()
    submit(drawn_case(corpus, make_guideline(), blind=False), person)
    corpus.access = Access.MEMBERS
    corpus.save()
    assert "Nobody has submitted a review" in get(client, lead)


def test_annotators_are_not_shown_others_times(client: Client, annotator: User) -> None:
    client.force_login(annotator)
    assert client.get("/effort").status_code == 403


def test_the_case_page_tells_of_activity_where_people_review(
    client: Client, annotator: User, engineer: User
) -> None:
    case = drawn_case(make_corpus(), make_guideline(), blind=False)
    for user, there in ((annotator, True), (engineer, False)):
        client.force_login(user)
        html = client.get(f"/cases/{case.pk}").content.decode()
        assert (f'activity.js" data-case="{case.pk}"' in html) is there
