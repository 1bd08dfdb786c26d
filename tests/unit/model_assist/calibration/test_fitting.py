"""Simulated models whose confidence is wrong in a known way: the fit must find the way, and the error must fall."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.calibration.fitting import CannotFit, fit, parameters_of
from model_assist.calibration.mapping import CLOSEST, ISOTONIC, LOGISTIC, apply, log_odds


def simulated(
    number: int, *, slope: float, intercept: float, seed: int
) -> tuple[list[float], list[bool], list[str]]:
    """Confidences, and whether right with probability sigmoid(slope * logit(c) + intercept); two clips a recording."""
    random = np.random.default_rng(seed)
    odds = random.normal(1.5, 1.5, number)
    confidence = 1 / (1 + np.exp(-odds))
    right = random.random(number) < 1 / (1 + np.exp(-(slope * odds + intercept)))
    return confidence.tolist(), right.tolist(), [f"r{n // 2}" for n in range(number)]


def test_the_logistic_parameters_are_recovered() -> None:
    confidence, right, _ = simulated(20_000, slope=0.4, intercept=-0.8, seed=1)
    found = parameters_of(LOGISTIC, np.array(confidence), np.array(right))
    # standard errors with 20,000 pairs are about .011 and .022
    assert found["slope"] == pytest.approx(0.4, abs=0.04)
    assert found["intercept"] == pytest.approx(-0.8, abs=0.08)


@pytest.mark.parametrize(("number", "method"), [(150, LOGISTIC), (1500, ISOTONIC)])
def test_an_overconfident_model_is_brought_to_its_word(number: int, method: str) -> None:
    fitted = fit(*simulated(number, slope=0.4, intercept=-0.8, seed=2))
    assert fitted.method == method
    assert fitted.before["ece"] > 0.2
    assert fitted.after["ece"] < fitted.before["ece"] / 2
    assert fitted.after["brier"] < fitted.before["brier"]
    assert fitted.after["log_loss"] < fitted.before["log_loss"]
    assert fitted.after["ece"] < 3 * fitted.after["chance_ece"]
    assert (fitted.folds, fitted.recordings) == (5, number // 2)


def test_a_model_that_keeps_its_word_is_left_alone() -> None:
    fitted = fit(*simulated(5000, slope=1.0, intercept=0.0, seed=3))
    for confidence in (0.3, 0.5, 0.7, 0.9):
        assert apply(fitted.method, fitted.parameters, confidence) == pytest.approx(confidence, abs=0.06)
    assert fitted.after["ece"] < 0.03


def test_the_measured_error_is_not_of_the_fitted_answers() -> None:
    """Confidence says nothing here. A curve fitted on all answers looks perfect on them; out of fold it does not."""
    random = np.random.default_rng(4)
    confidence, right = random.random(250), random.random(250) < 0.5
    fitted = fit(confidence.tolist(), right.tolist(), [str(n) for n in range(250)])
    inside = np.array([apply(fitted.method, fitted.parameters, one) for one in confidence])
    assert np.mean((inside - right) ** 2) < 0.25 < fitted.after["brier"]


def test_clips_of_one_recording_are_never_on_both_sides() -> None:
    """Fifty recordings, each with one confidence of its own and one outcome: remembering it must not help."""
    random = np.random.default_rng(5)
    own, outcome = random.random(50), random.random(50) < 0.5
    fitted = fit(
        np.repeat(own, 10).tolist(),
        np.repeat(outcome, 10).tolist(),
        np.repeat(np.arange(50), 10).astype(str).tolist(),
    )
    apart = fit(np.repeat(own, 10).tolist(), np.repeat(outcome, 10).tolist(), [str(n) for n in range(500)])
    assert fitted.after["brier"] > apart.after["brier"]


@pytest.mark.parametrize(
    ("right", "recordings", "code"),
    [
        ([True, False] * 14, range(28), "too_few_pairs"),
        ([True] * 40, range(40), "one_class"),
        ([False] * 40, range(40), "one_class"),
        ([True, False] * 20, [n % 4 for n in range(40)], "too_few_recordings"),
        ([], [], "too_few_pairs"),
    ],
)
def test_what_carries_no_calibration_is_refused(right: list[bool], recordings: list[int], code: str) -> None:
    with pytest.raises(CannotFit) as refused:
        fit(np.linspace(0.1, 0.9, len(right)).tolist(), right, [str(n) for n in recordings])
    assert refused.value.code == code


def test_separable_pairs_stay_finite() -> None:
    confidence = np.array([0.2] * 20 + [0.8] * 20)
    found = parameters_of(LOGISTIC, confidence, confidence > 0.5)
    assert all(map(math.isfinite, found.values()))
    # Platt's targets are 21/22 and 1/22: at .8 the fit says so
    assert apply(LOGISTIC, found, 0.8) == pytest.approx(21 / 22, abs=1e-3)


def test_a_falling_confidence_becomes_flat_and_never_turns_round() -> None:
    confidence = np.array([0.2] * 20 + [0.8] * 20)
    found = parameters_of(LOGISTIC, confidence, confidence < 0.5)
    assert found["slope"] == 0.0
    assert apply(LOGISTIC, found, 0.1) == apply(LOGISTIC, found, 0.9) == pytest.approx(0.5)


def test_equal_confidences_say_how_often_they_are_right() -> None:
    found = parameters_of(LOGISTIC, np.full(40, 0.9), np.array([True] * 10 + [False] * 30))
    # Platt's softened targets: (10 * 11/12 + 30 * 1/32) / 40 = .252604
    assert apply(LOGISTIC, found, 0.9) == pytest.approx(0.252604, abs=1e-5)


def test_isotonic_is_never_sure() -> None:
    confidence, right, recordings = simulated(400, slope=3.0, intercept=0.0, seed=6)
    fitted = fit(confidence, right, recordings)
    assert apply(ISOTONIC, fitted.parameters, 0.0) >= 1 / 402 - 1e-12
    assert apply(ISOTONIC, fitted.parameters, 1.0) <= 1 - 1 / 402 + 1e-12


def test_the_same_seed_gives_the_same_fit() -> None:
    pairs = simulated(300, slope=0.5, intercept=0.0, seed=7)
    assert fit(*pairs, seed=1) == fit(*pairs, seed=1)
    assert fit(*pairs, seed=1).after != fit(*pairs, seed=2).after


@given(st.floats(0, 1), st.floats(0, 1))
def test_mappings_rise_and_stay_probabilities(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for method, parameters in (
        (LOGISTIC, {"slope": 0.7, "intercept": -2.0}),
        (ISOTONIC, {"x": [0.1, 0.4, 0.4001, 0.9], "y": [0.05, 0.05, 0.6, 0.8]}),
    ):
        assert 0 <= apply(method, parameters, low) <= apply(method, parameters, high) <= 1


@given(st.floats(CLOSEST, 1 - CLOSEST))
def test_slope_one_and_no_intercept_change_nothing(confidence: float) -> None:
    assert apply(LOGISTIC, {"slope": 1.0, "intercept": 0.0}, confidence) == pytest.approx(confidence)


def test_isotonic_between_and_beyond_its_points() -> None:
    parameters = {"x": [0.2, 0.6], "y": [0.1, 0.5]}
    assert [apply(ISOTONIC, parameters, x) for x in (0.0, 0.2, 0.4, 0.6, 1.0)] == pytest.approx(
        [0.1, 0.1, 0.3, 0.5, 0.5]
    )


def test_the_ends_and_the_unknown() -> None:
    assert math.isfinite(log_odds(0.0))
    assert log_odds(1.0) == pytest.approx(-log_odds(0.0))
    with pytest.raises(ValueError, match="unknown calibration method 'magic'"):
        apply("magic", {}, 0.5)
