"""How fast a run goes and earlier ones went, by times written by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from model_assist.predictions.models import CasePrediction, PredictionRun
from model_assist.predictions.pace import busy_seconds, paces_of, rate_of
from tests import factories

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def at(*seconds: float) -> list[datetime]:
    return [NOW + timedelta(seconds=one) for one in seconds]


def test_one_by_one_every_gap_is_a_clip() -> None:
    assert busy_seconds(at(0, 10, 20, 30, 40)) == (40.0, 4)


def test_batches_count_from_the_end_of_the_first_one() -> None:
    """Batches of two every 10 s: 8 clips after the first batch took 40 s."""
    assert busy_seconds(at(0, 0.2, 10, 10.2, 20, 20.2, 30, 30.2, 40, 40.0)) == (40.0, 8)


def test_pauses_nights_and_absent_workers_do_not_count() -> None:
    seconds, clips = busy_seconds(at(0, 10, 20, 8000, 8010, 8020)) or (0, 0)
    assert (seconds, clips) == (40.0, 4)


def test_slow_models_are_not_taken_for_pauses() -> None:
    assert busy_seconds(at(0, 900, 1800, 2700)) == (2700.0, 3)


@pytest.mark.parametrize("times", [(), (0,), (0, 0, 0, 0), (0, 10, 20)])
def test_too_little_measures_nothing(times: tuple[float, ...]) -> None:
    assert busy_seconds(at(*times)) is None


@pytest.fixture
def run(db: None) -> PredictionRun:
    run = factories.make_prediction_run(cases=12)
    run.active_since = NOW - timedelta(hours=3)
    run.save()
    return run


def answer(run: PredictionRun, *seconds: float, device: str = "") -> None:
    left = run.case_predictions.filter(predicted_at=None).order_by("id")
    for row, when in zip(left, at(*seconds), strict=False):
        CasePrediction.objects.filter(pk=row.pk).update(predicted_at=when, device=device)


def test_the_last_five_minutes_make_the_rate_when_enough_came(run: PredictionRun) -> None:
    answer(run, -2000, *range(-280, -80, 20))
    rate = rate_of(run, now=NOW)
    assert rate is not None
    assert (rate.per_minute, rate.cases, rate.seconds) == (2.0, 10, 300.0)


def test_with_few_the_last_hour_is_asked(run: PredictionRun) -> None:
    answer(run, -5000, -3000, -2000, -1000)
    rate = rate_of(run, now=NOW)
    assert rate is not None
    assert (rate.per_minute, rate.cases) == (3 / 60, 3)


def test_a_pause_does_not_slow_the_rate_down(run: PredictionRun) -> None:
    """Answered before the pause, resumed a minute ago, two answers since then: two a minute."""
    run.active_since = NOW - timedelta(seconds=60)
    answer(run, -3000, -2990, -40, -10)
    rate = rate_of(run, now=NOW)
    assert rate is not None
    assert rate.per_minute == 2.0


def test_no_rate_while_held_or_when_nothing_came_lately(run: PredictionRun) -> None:
    assert rate_of(run, now=NOW) is None
    answer(run, -4000)
    assert rate_of(run, now=NOW) is None
    answer(run, -10)
    assert rate_of(run, now=NOW) is not None
    run.paused_at = NOW
    assert rate_of(run, now=NOW) is None


def test_earlier_runs_tell_by_device_and_kinds(run: PredictionRun) -> None:
    assert paces_of(run.model_version, run.kinds) == []
    answer(run, 0, 10, 20, 30, 40, device="cuda: H100")
    answer(run, 100, 104, 108, 112, device="cpu")
    found = paces_of(run.model_version, run.kinds)
    assert [(p.device, p.seconds_per_clip, p.clips, p.runs, p.same_kinds) for p in found] == [
        ("cuda: H100", 10.0, 4, 1, True),
        ("cpu", 4.0, 3, 1, True),
    ]
    other = paces_of(run.model_version, ["crash_recognition"])
    assert [p.same_kinds for p in other] == [False, False]
    assert paces_of(factories.make_model_version("other"), run.kinds) == []
