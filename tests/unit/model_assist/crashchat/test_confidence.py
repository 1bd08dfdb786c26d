"""Confidence from recorded token probabilities."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat import kinds as k
from model_assist.crashchat.confidence import confidence, trace_detail
from model_assist.crashchat.prefix import Trace

LOG_HALF = math.log(0.5)


def test_recognition_is_the_probability_of_the_word() -> None:
    trace = Trace(tokens=[1], logprobs=[LOG_HALF, 0.0], p_yes=0.6, p_no=0.2, ended=True)
    score, detail = confidence(k.CRASH_RECOGNITION, "valued", {"label": "yes"}, trace)
    assert score == pytest.approx(0.6)
    assert detail["p_yes"] == pytest.approx(0.75)
    assert detail["yes_no_mass"] == pytest.approx(0.8)
    assert confidence(k.CRASH_RECOGNITION, "valued", {"label": "no"}, trace)[0] == pytest.approx(0.2)


def test_low_mass_on_both_words_lowers_recognition() -> None:
    trace = Trace(tokens=[1], logprobs=[math.log(0.7)], p_yes=0.09, p_no=0.01)
    score, detail = confidence(k.CRASH_RECOGNITION, "valued", {"label": "yes"}, trace)
    assert score == pytest.approx(0.09)
    assert (detail["p_yes"], detail["yes_no_mass"]) == pytest.approx((0.9, 0.1))


def test_recognition_without_single_tokens_for_the_words() -> None:
    """A tokenizer that spells "Yes" in two tokens watches none: the words' own probabilities are left."""
    trace = Trace(tokens=[1, 2], logprobs=[math.log(0.25), 0.0], p_yes=0.0, p_no=0.0)
    score, detail = confidence(k.CRASH_RECOGNITION, "valued", {"label": "yes"}, trace)
    assert score == pytest.approx(0.5)
    assert (detail["p_yes"], detail["yes_no_mass"]) == (None, 0.0)


def test_saying_that_nothing_happened_is_about_the_words() -> None:
    trace = Trace(tokens=[1, 2], logprobs=[LOG_HALF, LOG_HALF])
    assert confidence(k.CRASH_LOCALIZATION, "absent", None, trace)[0] == pytest.approx(0.5)


def test_the_format_of_a_time_does_not_count() -> None:
    """A sure " seconds" after two guessed digits (.5 and .125: geometric mean .25) must not look like a sure time."""
    trace = Trace(
        tokens=[1, 2, 3],
        logprobs=[LOG_HALF, math.log(0.125), 0.0],
        digit_logprobs=[LOG_HALF, math.log(0.125)],
    )
    assert confidence(k.PRE_CRASH_LOCALIZATION, "valued", {"at_us": 1}, trace)[0] == pytest.approx(0.25)


def test_the_figures_kept_with_an_answer() -> None:
    trace = Trace(
        tokens=[1, 2], logprobs=[math.log(0.25), LOG_HALF, 1e-7], digit_entropy=[0.0, math.log(5)], ended=True
    )
    detail = trace_detail(trace)
    assert detail.keys() == {"tokens", "ended", "mean_prob", "min_prob", "digit_entropy"}
    assert (detail["tokens"], detail["ended"], detail["min_prob"]) == (2, True, pytest.approx(0.25))
    assert detail["mean_prob"] == pytest.approx(0.5)
    assert detail["digit_entropy"] == pytest.approx([0.0, math.log(5) / math.log(10)])
    assert trace_detail(Trace()) == {
        "tokens": 0, "ended": False, "mean_prob": 0.0, "min_prob": 0.0, "digit_entropy": [],
    }  # fmt: skip


def test_rounding_never_leads_beyond_one() -> None:
    trace = Trace(
        tokens=[1], logprobs=[1e-6], digit_logprobs=[1e-6], p_yes=1.0000001, p_no=0.0, digit_entropy=[2.31]
    )
    for kind, value in ((k.CRASH_RECOGNITION, {"label": "yes"}), (k.PRE_CRASH_LOCALIZATION, {"at_us": 1})):
        score, detail = confidence(kind, "valued", value, trace)
        figures = [score, detail["mean_prob"], detail["min_prob"], *detail["digit_entropy"]]
        assert all(0.0 <= figure <= 1.0 for figure in figures)


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
