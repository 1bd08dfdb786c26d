"""How far a run is, in a fixed number of queries."""

from datetime import timedelta

import pytest
from django.utils import timezone

from crashdesk.jobs.models import JobState
from model_assist.predictions.models import PredictionRun
from model_assist.predictions.progress import counts_of, progress_of, state_of
from tests import factories

ZEROS = {state: 0 for state in JobState.values}


@pytest.mark.django_db
def test_a_run_from_start_to_end(django_assert_num_queries: object) -> None:
    run = factories.make_prediction_run(cases=3)
    fresh = progress_of(run)
    assert (fresh.state, fresh.total, fresh.left, fresh.ended) == ("queued", 3, 3, 0)
    assert (fresh.began_at, fresh.ended_at, fresh.rate, fresh.eta) == (None, None, None, None)
    factories.work_on(run)
    PredictionRun.objects.filter(pk=run.pk).update(active_since=timezone.now() - timedelta(minutes=2))
    run.refresh_from_db()
    with django_assert_num_queries(2):  # type: ignore[operator]
        going = progress_of(run)
    assert (going.state, going.left, going.ended) == ("running", 2, 1)
    assert going.rate is not None
    assert going.rate.per_minute == pytest.approx(0.5, rel=0.1)
    assert going.eta_seconds == pytest.approx(240, rel=0.1)
    assert going.eta is not None
    assert going.began_at is not None
    factories.work_on(run)
    factories.work_on(run)
    over = progress_of(run)
    assert (over.state, over.left, over.rate, over.eta_seconds) == ("done", 0, None, None)
    assert over.ended_at is not None
    assert over.ended_at >= going.began_at


@pytest.mark.django_db
def test_a_run_in_which_everything_was_answered_is_over_at_once() -> None:
    run = factories.make_prediction_run(cases=2, done=2)
    again = factories.start_run(corpus=run.corpus, guideline=run.guideline, by=None)
    found = progress_of(again)
    assert (found.state, found.total, found.ended_at) == ("done", 0, again.created_at)
    assert again.tally["answered"] == 2


@pytest.mark.django_db
def test_many_runs_are_counted_in_one_query(django_assert_num_queries: object) -> None:
    first = factories.make_prediction_run(cases=2, done=1)
    second = factories.make_prediction_run(cases=1, failed=0)
    with django_assert_num_queries(1):  # type: ignore[operator]
        found = counts_of([first, second])
    assert found[first.pk] == ZEROS | {"queued": 1, "done": 1}
    assert found[second.pk] == ZEROS | {"queued": 1}


@pytest.mark.parametrize(
    ("held", "stopped", "counts", "expected"),
    [
        (False, False, {"queued": 2}, "queued"),
        (False, False, {"queued": 2, "done": 1}, "running"),
        (False, False, {"running": 1}, "running"),
        (True, False, {"paused": 2, "running": 1}, "paused"),
        (True, False, {"done": 3}, "done"),
        (False, True, {"running": 1, "cancelled": 4}, "stopping"),
        (False, True, {"queued": 1, "cancelled": 4}, "running"),
        (False, True, {"done": 1, "cancelled": 4}, "cancelled"),
        (False, True, {"done": 5}, "done"),
        (False, False, {"done": 4, "failed": 1}, "done"),
        (False, False, {}, "done"),
    ],
)
def test_one_word_for_the_whole(held: bool, stopped: bool, counts: dict[str, int], expected: str) -> None:
    now = timezone.now()
    run = PredictionRun(paused_at=now if held else None, cancelled_at=now if stopped else None)
    assert state_of(run, ZEROS | counts) == expected
