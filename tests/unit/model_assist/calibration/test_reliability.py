import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from model_assist.calibration.reliability import bins_of, brier, chance_ece, ece, log_loss, report, wilson

pairs = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200)


def test_a_worked_example() -> None:
    # 30 answers in two bins of 15: confidence .6, 9 of 15 right (.6): off by 0
    #                               confidence .9, 12 of 15 right (.8): off by .1
    # ECE = (15 * 0 + 15 * .1) / 30 = .05
    confidence = np.array([0.6] * 15 + [0.9] * 15)
    right = np.array([True] * 9 + [False] * 6 + [True] * 12 + [False] * 3)
    bins = bins_of(confidence, right)
    assert [(one.count, one.right, round(one.confidence, 6), one.share) for one in bins] == [
        (15, 9, 0.6, 0.6),
        (15, 12, 0.9, 0.8),
    ]
    assert ece(bins) == pytest.approx(0.05)
    # Brier: (9 * .16 + 6 * .36 + 12 * .01 + 3 * .81) / 30 = (1.44 + 2.16 + .12 + 2.43) / 30 = .205
    assert brier(confidence, right) == pytest.approx(0.205)


def test_wilson_by_hand() -> None:
    # 8 of 10: z2 = 3.8416; middle (0.8 + .19208)/1.38416 = .71674; half 1.96/1.38416 * sqrt(.016 + .009604) = .22658
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0)


def test_equal_confidences_stay_together() -> None:
    confidence = np.array([0.5] * 100 + [0.9] * 50)
    bins = bins_of(confidence, np.ones(150, dtype=bool))
    assert [(one.low, one.high, one.count) for one in bins] == [(0.5, 0.5, 100), (0.9, 0.9, 50)]


def test_bins_are_ten_of_equal_size() -> None:
    assert [one.count for one in bins_of(np.linspace(0, 1, 1000), np.ones(1000, dtype=bool))] == [100] * 10


@given(pairs)
def test_bins_hold_every_answer_once_in_order(held: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([c for c, _ in held]), np.array([r for _, r in held])
    bins = bins_of(confidence, right)
    assert sum(one.count for one in bins) == len(held)
    assert sum(one.right for one in bins) == right.sum()
    for before, after in itertools.pairwise(bins):
        assert before.high < after.low
    for one in bins:
        assert one.low - 1e-12 <= one.confidence <= one.high + 1e-12
        assert one.share_low - 1e-12 <= one.share <= one.share_high + 1e-12
    assert 0 <= ece(bins) <= 1


@given(pairs)
def test_brier_and_log_loss_are_scikit_learn_s(held: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([c for c, _ in held]), np.array([r for _, r in held])
    kept = np.clip(confidence, 1e-6, 1 - 1e-6)
    assert brier(confidence, right) == pytest.approx(
        brier_score_loss(right, confidence, labels=[False, True])
    )
    assert log_loss(confidence, right) == pytest.approx(sklearn_log_loss(right, kept, labels=[False, True]))


def test_nothing_measured_is_nothing() -> None:
    assert bins_of(np.array([]), np.array([], dtype=bool)) == []
    assert ece([]) == 0.0


def test_chance_shrinks_with_the_number_of_answers() -> None:
    few, many = (chance_ece(np.linspace(0.05, 0.95, n), seed=0) for n in (100, 10_000))
    assert few > 3 * many > 0
    assert chance_ece(np.linspace(0.05, 0.95, 100), seed=0) == few


def test_a_report_is_json_with_all_measures() -> None:
    found = report(np.array([0.2, 0.8] * 20), np.array([False, True] * 20), seed=1)
    assert found.keys() == {"ece", "chance_ece", "brier", "log_loss", "bins"}
    assert (found["ece"], found["brier"]) == pytest.approx((0.2, 0.04))
    assert found["log_loss"] == pytest.approx(-math.log(0.8))
