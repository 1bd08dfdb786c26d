"""The demo's words."""

import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.demo import grammar
from annotations.corpora.demo.scenarios import DASHCAM_ROLES, WITNESSED_ROLES, Role


@given(st.integers(0, 10**9))
def test_seconds_lose_nothing(us: int) -> None:
    text = grammar.seconds(us)
    assert Decimal(text) * 1_000_000 == us
    assert 1 <= len(text.split(".")[1]) <= 6


@pytest.mark.parametrize(
    ("us", "text"),
    [(0, "0.0"), (3_900_000, "3.9"), (5_000_000, "5.0"), (3_166_667, "3.166667"), (2_120_000, "2.12")],
)
def test_whole_tenths_have_one_decimal(us: int, text: str) -> None:
    assert grammar.seconds(us) == text


def test_descriptions_are_subject_verb_object() -> None:
    assert grammar.description(Role("step_out", "car", "pedestrian")) == "car hits a pedestrian."
    assert grammar.description(Role("rear_end", "car", "truck", ego=True)) == "ego-car hits a truck."


@pytest.mark.parametrize("role", [*DASHCAM_ROLES, *WITNESSED_ROLES], ids=str)
def test_every_role_has_several_causes_and_measures(role: Role) -> None:
    causes = {grammar.cause(role, random.Random(seed)) for seed in range(40)}
    measures = {grammar.prevention(role, random.Random(seed)) for seed in range(40)}
    assert len(causes) >= 3
    assert len(measures) >= 6
    assert all(text.endswith(".") for text in causes | measures)


def test_every_kind_has_a_question() -> None:
    assert set(grammar.QUESTIONS) == set(grammar.KINDS)
    for kind, text in grammar.NEGATIVE_TEXTS.items():
        assert text in grammar.QUESTIONS[kind]
