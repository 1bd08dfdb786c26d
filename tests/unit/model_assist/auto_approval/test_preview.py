from datetime import timedelta

import numpy as np
import pytest

from annotations.cases.models import Answer
from annotations.reviews.models import Review
from crashdesk.accounts.models import User
from model_assist.auto_approval.certification import Promise, needed
from model_assist.auto_approval.models import Policy
from model_assist.auto_approval.preview import Known, active_time, needed_table, shares
from model_assist.auto_approval.services import request_preview
from tests.effort_made import NOON, drawn_case, moments, submit
from tests.factories import make_corpus
from tests.policy_made import World, work

pytestmark = pytest.mark.django_db


def test_a_preview_says_who_would_be_approved_how_wrong_and_what_it_saves_and_changes_nothing(
    lead: User,
) -> None:
    world = World.made()
    sure, unsure = world.add(60, confidence=0.96), world.add(40, confidence=0.6)
    Answer.objects.filter(case=unsure[0], kind="crash_localization").update(state="absent", value=None)
    seen = sure[:20] + unsure[1:11]
    for case in unsure[1:6]:
        world.wrong[case.pk] = True
    world.review([case.pk for case in seen], lead)
    Review.objects.create(
        case=sure[0], reviewer=lead, outcome="submitted", origin="x", lead_seconds=30.0,
        submitted_at="2026-01-01T00:00Z",
    )  # fmt: skip
    rules = {"crash_recognition": {"rule": "differs"}}
    job = request_preview(
        corpus=world.corpus,
        guideline=world.guideline,
        max_error=0.05,
        by=lead,
        error_rules=rules,
        audit_share=0.2,
    )
    work("data")
    job.refresh_from_db()
    told = job.result
    assert (told["answered"], told["sure"], told["waiting"], told["settled"]) == (100, 99, 69, 30)
    assert told["refused"] == [{"why": "a crash, yet crash_localization is absent", "cases": 1}]
    assert told["active_time"] == {
        "reviews": 0,
        "mean_seconds": None,
    }  # the tool's lead time is no measurement
    half, every = told["shares"][4], told["shares"][-1]
    assert (half["cases"], half["would_approve"]) == (
        60,
        32,
    )  # 40 of the 60 wait; a fifth of these is audited
    assert half["expected_error"] == pytest.approx(0.04, abs=1e-3)
    assert (half["all"]["cases"], half["all"]["wrong"]) == (20, 0)
    assert (every["all"]["cases"], every["all"]["wrong"], every["cases"]) == (30, 5, 99)
    assert not Policy.objects.exists()


def test_time_is_active_time_of_reviews_that_had_a_draft_in_view(lead: User) -> None:
    world = World.made()
    did = ((False, [30, 10, 0]), (False, [500, 50, 0]), (True, [59, 0]), (False, []))
    for hour, (blind, seconds) in enumerate(did):
        case, at = drawn_case(world.corpus, world.guideline, blind=blind), NOON - timedelta(hours=hour)
        if seconds:
            moments(lead, case, seconds, until=at)
        submit(case, lead, at=at, lead_seconds=999.0, blind=blind)
    elsewhere = drawn_case(make_corpus(), world.guideline, blind=False)
    moments(lead, elsewhere, [20, 0], until=NOON - timedelta(hours=9))
    submit(elsewhere, lead, at=NOON - timedelta(hours=9))
    assert active_time(world.corpus) == {"reviews": 2, "mean_seconds": pytest.approx(40.0)}  # 30 and 50


def test_nothing_known_is_told_as_such() -> None:
    nothing = Known(np.empty(0), np.empty(0, bool), np.empty(0, bool))
    rows = shares(np.array([0.5, 0.9]), np.array([True, False]), nothing, confidence=0.95, audit=0.1)
    assert rows[-1]["all"] == {"cases": 0, "wrong": 0, "upper": 1.0}
    assert shares(np.empty(0), np.empty(0, bool), nothing, confidence=0.95, audit=0.1) == []


def test_what_other_limits_would_cost() -> None:
    rows = needed_table(Promise(0.04, 0.95))
    assert [row["limit"] for row in rows] == [0.01, 0.02, 0.03, 0.04, 0.05, 0.1]
    assert [row["asked"] for row in rows] == [False, False, False, True, False, False]
    assert rows[4]["no_error"] == needed(Promise(0.05, 0.95), attempt=1)
    assert all(row["no_error"] < row["one_error"] < row["three_errors"] for row in rows)
