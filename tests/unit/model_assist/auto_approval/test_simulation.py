"""The promise, held against truth: over many corpora, whatever calibrations are worth, and when the world changes."""

import numpy as np
import pytest
from scipy import stats

from model_assist.auto_approval.certification import Promise
from model_assist.auto_approval.watching import Start
from tests.unit.model_assist.auto_approval.simulated import CALIBRATIONS, promises, run

PLAIN = Promise(limit=0.1, confidence=0.95)
ROOMY = Promise(limit=0.1, confidence=0.95, certify_at=0.5)
CORPORA = 150
START = Start(cases=300, wrong=5, tries=10)


def allowed(delta: float) -> int:
    """So many broken promises or more would have a chance below 0.1 % if each had probability delta."""
    return int(stats.binom.ppf(0.999, CORPORA, delta))


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_the_promise_is_kept_whatever_the_calibrations_are_worth(name: str) -> None:
    made = promises(name, PLAIN, corpora=CORPORA, seed=11)
    assert made["policy"].broken <= allowed(PLAIN.delta(1))


def test_it_is_kept_at_the_worst_place_there_is() -> None:
    """Errors just above the limit at every threshold: whatever is certified is a broken promise."""
    made = promises("says nothing, errors just above the limit", PLAIN, corpora=2 * CORPORA, seed=5)
    policy = made["policy"]
    assert policy.broken <= int(stats.binom.ppf(0.999, 2 * CORPORA, PLAIN.delta(1)))
    assert made["anywhere"].broken > policy.broken + 30


def test_believing_the_calibrations_breaks_it_where_they_are_wrong() -> None:
    """So that the tests above can fail: the same corpora, the same truth, another way to choose."""
    for name in ("too sure", "upside down"):
        made = promises(name, PLAIN, corpora=40, seed=11)
        assert made["trusting"].broken == made["trusting"].certified > 0
        assert made["policy"].broken <= 1


def test_where_the_calibrations_are_right_a_policy_saves_work() -> None:
    made = promises("right", PLAIN, corpora=40, seed=2)["policy"]
    assert made.certified >= 30
    assert made.coverage > 0.5
    larger = promises("right", PLAIN, corpora=40, sample=800, seed=2)["policy"]
    assert larger.certified > made.certified


def test_a_policy_that_keeps_its_promise_is_seldom_stopped() -> None:
    random = np.random.default_rng(4)
    runs = [
        run(random, ROOMY, START, before=0.02, after=0.02, change=0, cases=10_000) for _ in range(40)
    ]  # fmt: skip
    assert sum(one.stopped for one in runs) <= 4


@pytest.mark.parametrize(("after", "most"), [(0.2, 3500), (0.4, 1000), (0.8, 600)])
def test_when_the_error_rate_rises_the_policy_stops_itself(after: float, most: int) -> None:
    """5,000 good cases, then more wrong ones. Until the stop, at most `most` cases are approved after the change."""
    random = np.random.default_rng(9)
    runs = [
        run(random, ROOMY, START, before=0.02, after=after, change=5000, cases=40_000) for _ in range(40)
    ]  # fmt: skip
    assert all(one.stopped for one in runs)
    assert np.median([one.approved[1] for one in runs]) <= most
    told = [sum(one.wrong) / sum(one.approved) for one in runs]
    assert np.mean(told) <= ROOMY.limit, f"error among the approved until the stop: {np.mean(told):.2%}"


def test_a_policy_certified_by_bad_luck_does_not_run_long() -> None:
    """Twice the limit from the first case on, though the sample had looked good."""
    random = np.random.default_rng(6)
    runs = [
        run(random, ROOMY, START, before=0.2, after=0.2, change=0, cases=40_000) for _ in range(40)
    ]  # fmt: skip
    assert all(one.stopped for one in runs)
    assert np.median([one.approved[1] for one in runs]) < 3000


def test_the_same_seed_gives_the_same_corpora() -> None:
    assert promises("right", PLAIN, corpora=5, seed=3) == promises("right", PLAIN, corpora=5, seed=3)
