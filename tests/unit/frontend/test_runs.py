"""What the pages of runs say, in words."""

import pytest
from django.http import QueryDict

from annotations.cases.models import CaseStatus
from crashdesk.accounts.models import User
from frontend import runs
from model_assist.predictions.control import pause_run, resume_run
from model_assist.predictions.models import PredictionRun, all_kinds
from tests import factories


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "—"), (0, "0 s"), (0.0314, "0.031 s"), (1.72, "1.7 s"), (45, "45 s"),
        (250, "4 min 10 s"), (300, "5 min"),
        (9000, "2 h 30 min"), (200_000, "2 d 7 h"), (172_800, "2 d"),
    ],
)  # fmt: skip
def test_lengths_of_time(seconds: float | None, words: str) -> None:
    assert runs.lasting(seconds) == words


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({}, ["every usable case"]),
        (
            {
                "source": "night",
                "status": ["ready", "in_review"],
                "max_rank": 9,
                "answers": "lacks",
                "limit": 5,
            },
            [
                "source “night”",
                "status ready, in review",
                "max rank “9”",
                "not answered by this model",
                "at most 5",
            ],
        ),
        (
            {"case_ids": [1, 2, 3, 4, 5, 6, 7], "again": True},
            ["only cases 1, 2, 3, 4, 5 and 2 more", "answered ones too"],
        ),
        ({"answers": "has", "case_ids": [4]}, ["answered by this model", "only cases 4"]),
    ],
)
def test_how_the_cases_were_chosen(filters: dict[str, object], words: list[str]) -> None:
    assert runs.asked(PredictionRun(filters=filters)) == words


def test_what_is_asked() -> None:
    assert runs.kinds_of(PredictionRun(kinds=all_kinds())) == ["all six questions"]
    assert runs.kinds_of(PredictionRun(kinds=["crash_recognition"])) == ["crash recognition"]


def test_the_form_becomes_the_body_of_the_request() -> None:
    query = QueryDict(
        "corpus=3&guideline=4&model_version=&source=&search=+night+truck&status=ready&status=predicted&limit=20"
        "&kinds=crash_recognition&priority=batch&case_ids=%2312%2C+15%0A40&again=1"
    )
    assert runs.body_of(query) == {
        "corpus": "3", "guideline": "4", "limit": "20", "kinds": ["crash_recognition"], "priority": "batch",
        "filters": {"search": "night truck", "status": ["ready", "predicted"]}, "case_ids": ["12", "15", "40"],
        "again": True,
    }  # fmt: skip
    assert runs.body_of(QueryDict("")) == {"kinds": [], "priority": "normal"}


def test_complaints_name_their_field() -> None:
    wrong = {
        "filters": {"status": {"0": ["is unknown"]}, "max_rank": ["too small", "odd"]},
        "kinds": ["none"],
    }
    assert runs.complaints(wrong) == [
        "Filters, status: is unknown", "Filters, max rank: too small", "Filters, max rank: odd", "Kinds: none",
    ]  # fmt: skip
    assert runs.complaints(["all of it"]) == ["all of it"]


@pytest.mark.django_db
def test_what_may_be_done_follows_the_state() -> None:
    run = factories.make_prediction_run(cases=2, failed=1)
    shown = runs.shown(run)
    assert (shown.steps, shown.percent, shown.undone, shown.live) == (
        runs.Steps(pause=True, resume=False, cancel=True, retry=True), 50.0, 1, True,
    )  # fmt: skip
    assert [(tab.words, tab.count) for tab in runs.tabs(shown.progress, "done")] == [
        ("all", 2), ("failed", 1), ("waiting", 1), ("done", 0),
    ]  # fmt: skip
    factories.work_on(run)
    over = runs.shown(run)
    assert (over.steps, over.percent, over.live) == (
        runs.Steps(pause=False, resume=False, cancel=False, retry=True), 100.0, False,
    )  # fmt: skip
    empty = factories.start_run(
        corpus=run.corpus, guideline=run.guideline, by=None, filters={"status": [CaseStatus.PREDICTED]}
    )
    assert runs.shown(empty).percent == 100.0


@pytest.mark.django_db
def test_who_holds_a_run_and_why(lead: User) -> None:
    run = factories.make_prediction_run(cases=3)
    assert runs.shown(run).held_by == ""
    pause_run(run=run, by=lead, reason="the disk is full")
    held = runs.shown(run)
    assert (held.held_by, held.held_because) == (lead.username, "the disk is full")
    resume_run(run=run, by=lead)
    pause_run(run=run, by=None, reason="gpu-1:77: the model is not there")
    held = runs.shown(run)
    assert (held.held_by, held.held_because) == ("system", "gpu-1:77: the model is not there")
