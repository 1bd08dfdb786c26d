"""The page about effort: a saving only with its control, and what is missing else."""

import re
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.test import Client

from annotations.cases.rules import Said
from annotations.corpora.models import Access
from annotations.reviews.changes import Change
from crashdesk.accounts.models import User
from frontend import effort
from tests.effort_made import NOON, Worked, drawn_case, many_reviews, moments, submit
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


def test_with_a_control_the_saving_and_the_anchoring_have_their_intervals(client: Client, lead: User) -> None:
    draw, persons = np.random.default_rng(5), [make_user(), make_user()]
    elsewhere = {**CRASH, "pre_crash_localization": Said("valued", {"at_us": 700_000})}  # half a second off
    reviews = [
        Worked(
            persons[n // 2 % 2], (60 if n < 40 else 40) * (1 + 0.1 * draw.normal()), n < 40,
            elsewhere if n < 40 and n % 2 else CRASH,
        )
        for n in range(90)
    ]  # fmt: skip
    many_reviews(make_corpus(), make_guideline(), reviews, draft=CRASH)
    html = get(client, lead)
    assert "saving__number" in html
    assert "% of the time (95 % CI " in html
    assert re.search(
        r"agreement with the draft rises by 4 points \(95 % CI \d to \d\), from 96 % to 100 %", html
    )
    assert "From 50 reviews with a draft and 40 blind ones by 2 people, 90 recordings." in html
    row = re.search(r'<tr><th scope="row">Onset</th>(.*?)</tr>', html)
    assert row is not None
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row[1])
    assert cells[:3] == ["75 %", "100 %", "+25 points"]
    assert re.fullmatch(r"\d+ to \d+", cells[3])
    told = client.get("/api/effort").json()["comparison"]
    assert told["saving"]["low"] < told["saving"]["value"] < told["saving"]["high"]
    (onset,) = [one for one in told["anchoring"] if one["kind"] == "pre_crash_localization"]
    assert (onset["blind"], onset["shown"]) == (pytest.approx(0.75), pytest.approx(1.0))
    assert 0 < onset["rise"]["low"] < onset["rise"]["value"] < onset["rise"]["high"] < 0.5
    assert "anchoring: agreement with the draft rises by 4 points (95 % CI " in told["words"]


def test_boundary_shifts_and_accepts_without_a_key_are_shown(client: Client, lead: User) -> None:
    corpus, guideline, person = make_corpus(), make_guideline(), make_user()
    accepted, moved = Change("accepted", 0.0, 0, 0), Change("edited", 0.25, -500_000, 1_250_000)
    for hour, (change, typed) in enumerate(((accepted, 0), (accepted, 4), (moved, 0), (moved, 0))):
        case, at = drawn_case(corpus, guideline, blind=False), NOON - timedelta(hours=hour)
        moments(person, case, [30, 10], until=at, typed=typed, keys=typed)
        submit(case, person, at=at, changes={"crash_localization": change})
    html = get(client, lead)
    row = re.search(rf'<tr><th scope="row">{person.username}</th>(.*?)</tr>', html)
    assert row is not None
    assert re.findall(r"<td[^>]*>(.*?)</td>", row[1])[-2:] == ["50 %", "25 %"]  # kept, and without typing
    assert "… without typing" in html
    row = re.search(r'<tr><th scope="row">Crash span</th>(.*?)</tr>', html)
    assert row is not None
    assert re.findall(r"<td[^>]*>(.*?)</td>", row[1])[-3:] == ["-0.50 s", "+1.25 s", "0.88 s"]
    told = client.get("/api/effort").json()
    assert (told["overall"]["accepted"], told["overall"]["keystroke_free"]) == (2, 1)
    (span,) = [one for one in told["kinds"] if one["kind"] == "crash_localization"]
    assert (span["start_shift"], span["end_shift"], span["edited"]) == (-0.5, 1.25, 2)
    assert told["edits_per_review"] == 0.5


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
