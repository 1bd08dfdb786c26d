"""The order in which cases are offered for review."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from model_assist.selection.ranking import pick, uncertainty

CONFIDENCES = st.dictionaries(
    st.integers(1, 500),
    st.dictionaries(st.sampled_from(Kind.values), st.floats(0, 1, allow_nan=False), max_size=6),
    max_size=60,
)


def test_uncertainty_is_that_of_the_weakest_answer() -> None:
    found = uncertainty({"crash_recognition": 0.9, "crash_localization": 0.25})
    assert found == (0.75, "crash_localization")
    assert uncertainty({}) is None


def test_the_least_certain_comes_first() -> None:
    sure, unsure = {"crash_recognition": 0.99}, {"crash_recognition": 0.51}
    picks = pick({1: sure, 2: unsure, 3: {}}, size=3, random_share=0.0, seed=0)
    assert [one.case_id for one in picks] == [3, 2, 1]
    assert picks[0].reason == "the model has said nothing about it"
    assert picks[1].reason == "least certain in crash_recognition: confidence 0.51"


@given(CONFIDENCES, st.integers(1, 80), st.floats(0, 1, allow_nan=False), st.integers(0, 9))
def test_every_pick_is_a_different_case_with_a_reason(
    confidences: dict[int, dict[str, float]], size: int, share: float, seed: int
) -> None:
    picks = pick(confidences, size=size, random_share=share, seed=seed)
    assert len(picks) == min(size, len(confidences))
    assert len({one.case_id for one in picks}) == len(picks)
    assert [one.rank for one in picks] == list(range(1, len(picks) + 1))
    assert sum("random" in one.reason for one in picks) == round(len(picks) * share)
    assert picks == pick(confidences, size=size, random_share=share, seed=seed)


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_chance_is_spread_through_the_order(share: float) -> None:
    confidences = {i: {"crash_recognition": i / 100} for i in range(50)}
    picks = pick(confidences, size=50, random_share=share, seed=3)
    first_half = sum("random" in one.reason for one in picks[:25])
    assert first_half == pytest.approx(25 * share, abs=1)
