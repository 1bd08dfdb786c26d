"""Confidence from recorded token probabilities."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat import kinds as k
from model_assist.crashchat.confidence import confidence
from model_assist.crashchat.prefix import Trace

LOG_HALF = math.log(0.5)


def test_recognition_is_the_probability_of_the_word() -> None:
    trace = Trace(tokens=[1], logprobs=[LOG_HALF, 0.0], p_yes=0.6, p_no=0.2, ended=True)
    score, detail = confidence(k.CRASH_RECOGNITION, "valued", {"label": "yes"}, trace)
    assert score == pytest.approx(0.6)
    assert detail["p_yes"] == pytest.approx(0.75)
    assert detail["yes_no_mass"] == pytest.approx(0.8)
    assert confidence(k.CRASH_RECOGNITION, "valued", {"label": "no"}, trace)[0] == pytest.approx(0.2)


def test_localisation_is_about_the_digits() -> None:
    trace = Trace(
        tokens=[1, 2, 3],
        logprobs=[0.0, LOG_HALF, 0.0],
        digit_logprobs=[LOG_HALF, LOG_HALF],
        digit_entropy=[math.log(10)],
    )
    score, detail = confidence(k.PRE_CRASH_LOCALIZATION, "valued", {"at_us": 1}, trace)
    assert score == pytest.approx(0.5)
    assert detail["digit_entropy"] == [1.0]
    assert detail["min_prob"] == pytest.approx(0.5)


def test_text_is_the_geometric_mean() -> None:
    trace = Trace(tokens=[1, 2], logprobs=[math.log(0.25), 0.0], ended=True)
    assert confidence(k.CAUSAL_REASONING, "valued", {"text": "a"}, trace)[0] == pytest.approx(0.5)


def test_unparsable_answers_have_no_confidence() -> None:
    assert confidence(k.CRASH_RECOGNITION, "unparsable", None, Trace(logprobs=[0.0], p_yes=1.0))[0] == 0.0
    assert confidence(k.CAUSAL_REASONING, "valued", {"text": "a"}, Trace())[0] == 0.0


@given(
    st.sampled_from(k.TEXT_KINDS + k.PERCEPTION),
    st.lists(st.floats(min_value=-50, max_value=0), max_size=20),
    st.lists(st.floats(min_value=-50, max_value=0), max_size=20),
)
def test_confidence_stays_between_zero_and_one(kind: str, logprobs: list[float], digits: list[float]) -> None:
    trace = Trace(logprobs=logprobs, digit_logprobs=digits)
    assert 0.0 <= confidence(kind, "valued", {}, trace)[0] <= 1.0
