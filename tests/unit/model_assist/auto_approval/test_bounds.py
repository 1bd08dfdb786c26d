import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from model_assist.auto_approval.bounds import Alarm, anytime, clopper_pearson, fewest, log_wealth, p_value

CONFIDENCE = 0.95


def test_clopper_and_pearson_bound_the_rate_as_their_definition_says() -> None:
    """The largest rate at which so few errors would still turn up with a chance of 5 % (their 1934 paper's method)."""
    for wrong, cases in ((0, 59), (1, 30), (3, 100), (10, 400)):
        bound = float(clopper_pearson(wrong, cases, confidence=CONFIDENCE))
        assert stats.binom.cdf(wrong, cases, bound) == pytest.approx(0.05, abs=1e-9)
    assert float(clopper_pearson(0, 59, confidence=CONFIDENCE)) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert float(clopper_pearson(0, 0, confidence=CONFIDENCE)) == 1.0
    assert float(clopper_pearson(4, 4, confidence=CONFIDENCE)) == 1.0


def test_it_takes_59_good_cases_to_show_5_percent_and_299_to_show_1_percent() -> None:
    assert fewest(0.05, delta=0.05) == 59
    assert fewest(0.01, delta=0.05) == 299
    assert fewest(0.05, delta=0.05, wrong=1) == 93
    assert p_value(1, 93, 0.05) <= 0.05 < p_value(1, 92, 0.05)
    assert p_value(0, 0, 0.05) == 1.0


def test_the_p_value_holds_for_cases_drawn_without_putting_back() -> None:
    """Never is a finite lot with more than the limit wrong rejected more often than delta."""
    for lot in (60, 150, 400):
        for limit in (0.05, 0.1, 0.3):
            worst = int(np.floor(limit * lot)) + 1
            for cases in range(5, lot, 41):
                for delta in (0.05, 0.1, 0.2):
                    passing = [k for k in range(cases // 2 + 1) if p_value(k, cases, limit) <= delta]
                    chance = float(stats.hypergeom.cdf(max(passing), lot, worst, cases)) if passing else 0.0
                    assert chance <= delta + 1e-12, (lot, limit, cases, delta)


@given(cases=st.integers(1, 3000), share=st.floats(0, 1))
def test_the_bound_that_holds_at_all_times_is_the_wider_one_and_falls_with_good_cases(
    cases: int, share: float
) -> None:
    wrong = int(share * cases)
    upper = float(anytime(wrong, cases, confidence=CONFIDENCE))
    assert wrong / cases <= upper <= 1.0
    assert upper >= float(clopper_pearson(wrong, cases, confidence=CONFIDENCE))
    assert upper >= float(anytime(wrong, cases + 50, confidence=CONFIDENCE))
    assert upper <= float(anytime(wrong, cases, confidence=CONFIDENCE, tries=10))


@pytest.mark.parametrize(("wrong", "cases"), [(0, 1), (0, 200), (1, 30), (7, 300), (40, 900), (500, 1000)])
def test_betting_against_a_rate_wins_the_more_the_higher_it_is(wrong: int, cases: int) -> None:
    """So that the bound is one number, not a set with holes."""
    rates = np.linspace(wrong / cases, 0.999999, 3000)[1:]
    assert (np.diff(log_wealth(wrong, cases, rates)) > -1e-9).all()


def test_wealth_is_worth_one_on_average_at_the_rate_it_bets_against() -> None:
    """That is what makes 1 / wealth a valid level at every moment (Ville): checked by summing over all outcomes."""
    for rate in (0.02, 0.3):
        for cases in (1, 20, 200):
            wrong = np.arange(cases + 1)
            chances = stats.binom.pmf(wrong, cases, rate)
            assert float(np.sum(chances * np.exp(log_wealth(wrong, cases, rate)))) == pytest.approx(1.0)
            higher = stats.binom.pmf(wrong, cases, min(1.0, rate * 1.5))
            assert float(np.sum(higher * np.exp(log_wealth(wrong, cases, rate)))) < 1.0


@pytest.mark.parametrize("rate", [0.03, 0.05, 0.2])
def test_looked_at_after_every_case_one_bound_keeps_its_word_and_the_other_does_not(rate: float) -> None:
    random = np.random.default_rng(1)
    runs, length = 500, 500
    wrong = np.cumsum(random.random((runs, length)) < rate, axis=1)
    cases = np.arange(1, length + 1)
    ever_below = (log_wealth(wrong, cases, rate) >= np.log(1 / 0.05)).any(axis=1).mean()
    naive = (clopper_pearson(wrong, cases, confidence=CONFIDENCE) < rate).any(axis=1).mean()
    allowed = 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    assert ever_below <= allowed
    assert naive > 1.5 * allowed


def test_the_alarm_rings_for_nothing_as_seldom_as_it_says_and_soon_when_the_rate_has_risen() -> None:
    random = np.random.default_rng(3)
    patience, limit, runs = 100, 0.1, 300
    until = [
        Alarm(limit, patience=patience).see_all((random.random(2000) < limit).tolist()) or 2000
        for _ in range(runs)
    ]
    assert np.mean(until) >= patience
    risen = [Alarm(limit, patience=patience).see_all((random.random(2000) < 0.4).tolist()) for _ in range(50)]
    assert max(one or 9999 for one in risen) < 60


def test_old_good_cases_do_not_make_up_for_new_bad_ones() -> None:
    alarm = Alarm(0.05, patience=1000)
    assert alarm.see_all([False] * 5000) is None
    assert alarm.evidence < 50
    assert alarm.see_all([True] * 20) is not None
    assert alarm.rings
