import numpy as np
import pytest

from model_assist.auto_approval.bounds import anytime, clopper_pearson
from model_assist.auto_approval.certification import Promise
from model_assist.auto_approval.watching import BOUND, DRIFT, Start, series, watch

PROMISE, START = Promise(0.05, 0.95, 0.5), Start(cases=250, wrong=1, tries=10)


def test_a_policy_without_audits_goes_on_by_its_certificate() -> None:
    verdict = watch(PROMISE, START, [], patience=1000)
    assert (verdict.reason, verdict.seen, verdict.cases, verdict.wrong) == ("", 0, 250, 1)
    assert verdict.upper <= 0.05


def test_it_stops_at_the_first_case_that_lifts_the_bound_over_the_limit() -> None:
    audited = [False, True, False, True, True, True, True, True, False]
    verdict = watch(PROMISE, START, audited, patience=1e9)
    assert verdict.reason == BOUND
    before = anytime(
        START.wrong + sum(audited[: verdict.seen - 1]),
        START.cases + verdict.seen - 1,
        confidence=0.95,
        tries=10,
    )
    assert float(before) <= 0.05 < verdict.upper
    assert audited[verdict.seen - 1]


def test_a_late_rise_is_heard_though_the_bound_is_still_low() -> None:
    audited = [False] * 3000 + [True, False] * 20
    verdict = watch(PROMISE, START, audited, patience=1000)
    assert verdict.reason == DRIFT
    assert 3000 < verdict.seen < 3030
    assert verdict.upper < 0.05
    assert verdict.evidence >= 1000


def test_only_what_counts_moves_the_bound_but_the_alarm_hears_all() -> None:
    audited = [True] * 12
    nothing = watch(PROMISE, START, audited, counted=[False] * 12, patience=1e12)
    assert (nothing.reason, nothing.cases, nothing.wrong) == ("", 250, 1)
    assert watch(PROMISE, START, audited, counted=[False] * 12, patience=1000).reason == DRIFT


@pytest.mark.parametrize("length", [0, 1, 150, 5000])
def test_the_series_is_what_both_bounds_say_at_its_moments(length: int) -> None:
    audited = (np.random.default_rng(0).random(length) < 0.02).tolist()
    made = series(PROMISE, START, audited, most=100)
    assert (made.cases[0], made.cases[-1], len(made.cases)) == (0, length, min(length + 1, 100))
    wrong, cases = START.wrong + sum(audited), START.cases + length
    assert made.upper[-1] == pytest.approx(float(anytime(wrong, cases, confidence=0.95, tries=10)))
    assert made.fixed[-1] == pytest.approx(float(clopper_pearson(wrong, cases, confidence=0.95)))
    assert (made.upper > made.fixed).all()
    assert made.rate[-1] == pytest.approx(wrong / cases)
