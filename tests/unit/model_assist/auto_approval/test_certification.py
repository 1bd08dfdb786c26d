import numpy as np
import pytest

from model_assist.auto_approval.bounds import anytime, p_value
from model_assist.auto_approval.certification import (
    Promise,
    chosen,
    coverage,
    level,
    needed,
    thresholds,
    walk,
)

PROMISE = Promise(limit=0.1, confidence=0.95)
SCORES = np.linspace(0, 1, 1001)


def test_attempts_share_the_chance_of_a_wrong_threshold() -> None:
    spent = [PROMISE.delta(attempt) for attempt in range(1, 2000)]
    assert spent[0] == pytest.approx(0.025)
    assert spent == sorted(spent, reverse=True)
    assert sum(spent) < 0.05


def test_what_is_needed_passes_and_one_case_less_does_not() -> None:
    for promise in (PROMISE, Promise(0.05, 0.95, 0.5), Promise(0.02, 0.9)):
        for wrong in (0, 1, 3):
            cases = needed(promise, attempt=1, wrong=wrong)
            assert p_value(wrong, cases, promise.target) <= level(promise, 1)
            assert float(anytime(wrong, cases, confidence=promise.confidence, tries=10)) <= promise.limit
    least = needed(PROMISE, attempt=1)
    assert p_value(0, least, 0.1) <= 0.025 / 3
    assert needed(PROMISE, attempt=2) >= least


def test_the_row_begins_where_a_sample_can_bear_an_error_and_ends_with_all() -> None:
    sample = 400
    row = thresholds(SCORES, sample=sample, promise=PROMISE, attempt=1)
    assert row == sorted(row, reverse=True)
    assert len(row) == 10
    assert row[-1] == 0.0
    assert coverage(SCORES, row[0]) * sample == pytest.approx(needed(PROMISE, attempt=1, wrong=1), abs=1)
    assert coverage(SCORES, 0.0) == 1.0
    assert coverage([], 0.5) == 0.0


def test_a_sample_that_could_show_nothing_has_no_row_and_equal_scores_have_one_threshold() -> None:
    assert thresholds(SCORES, sample=needed(PROMISE, attempt=1) - 1, promise=PROMISE, attempt=1) == []
    assert thresholds([], sample=400, promise=PROMISE, attempt=1) == []
    assert thresholds([0.7] * 50, sample=400, promise=PROMISE, attempt=1) == [0.7]


def test_after_a_threshold_that_does_not_pass_it_goes_on_at_the_next_start_alone() -> None:
    random = np.random.default_rng(0)
    scores = random.choice(SCORES, 400, replace=False)
    wrong = scores < 0.4  # sure cases are right, the others all wrong
    row = thresholds(SCORES, sample=400, promise=PROMISE, attempt=1)
    looks = walk(row, population=SCORES, scores=scores, wrong=wrong, promise=PROMISE, attempt=1)
    failed = [row.index(look.threshold) for look in looks if not look.passed]
    assert failed == [len(looks) - 2, 9]
    taken = chosen(looks)
    assert taken is not None
    assert taken == looks[-3]
    assert 0.3 < taken.threshold <= 0.45
    assert taken.wrong == int(wrong[scores >= taken.threshold].sum())
    assert taken.p_value == pytest.approx(p_value(taken.wrong, taken.cases, 0.1))
    assert taken.upper_fixed < taken.upper <= 0.1


def test_nothing_is_chosen_where_even_the_surest_err() -> None:
    scores = np.random.default_rng(0).choice(SCORES, 400, replace=False)
    row = thresholds(SCORES, sample=400, promise=PROMISE, attempt=1)
    looks = walk(row, population=SCORES, scores=scores, wrong=scores > 0.8, promise=PROMISE, attempt=1)
    assert [(row.index(look.threshold), look.passed) for look in looks] == [
        (0, False),
        (4, False),
        (9, False),
    ]
    assert chosen(looks) is None
    assert chosen([]) is None


def test_bad_luck_among_the_very_surest_does_not_cost_the_rest() -> None:
    scores = np.random.default_rng(0).choice(SCORES, 600, replace=False)
    wrong = scores > 0.98
    row = thresholds(SCORES, sample=600, promise=PROMISE, attempt=1)
    looks = walk(row, population=SCORES, scores=scores, wrong=wrong, promise=PROMISE, attempt=1)
    assert not looks[0].passed
    taken = chosen(looks)
    assert taken is not None
    assert taken.coverage == 1.0
