import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from model_assist.suspects.scoring import LEAST, WRONG_AT_FIRST, Witness, apart, of_copy, score, wrong

WITNESSES = st.lists(st.builds(Witness, st.just("somebody"), st.floats(0, 1), st.floats(0.1, 1)), max_size=4)


def span(start: int, end: int) -> Said:
    return Said("valued", {"start_us": start, "end_us": end})


@pytest.mark.parametrize(
    ("kind", "label", "other", "far"),
    [
        (Kind.CRASH_RECOGNITION, Said("valued", {"label": "yes"}), Said("valued", {"label": "no"}), 1.0),
        (Kind.CRASH_LOCALIZATION, span(0, 4), span(0, 4), 0.0),
        (Kind.CRASH_LOCALIZATION, span(0, 4), span(2, 4), 0.0),
        (Kind.CRASH_LOCALIZATION, span(0, 4), span(3, 4), 0.5),
        (Kind.CRASH_LOCALIZATION, span(0, 4), span(4, 8), 1.0),
        (Kind.CRASH_LOCALIZATION, span(0, 4), Said("absent", None), 1.0),
        (Kind.PRE_CRASH_LOCALIZATION, Said("valued", {"at_us": 0}), Said("valued", {"at_us": 500_000}), 0.0),
        (
            Kind.CAUSAL_REASONING,
            Said("valued", {"text": "Too fast."}),
            Said("valued", {"text": "A wet road"}),
            1.0,
        ),
    ],
)
def test_how_far_apart(kind: str, label: Said, other: Said, far: float) -> None:
    assert apart(kind, label, other) == pytest.approx(far)
    assert apart(kind, other, label) == pytest.approx(far)


def odds(*times: float) -> float:
    """A probability from the odds at first and what they are multiplied by."""
    at_first = WRONG_AT_FIRST / (1 - WRONG_AT_FIRST) * math.prod(times)
    return at_first / (1 + at_first)


def test_each_witness_multiplies_the_odds() -> None:
    assert wrong([]) is None
    assert wrong([Witness("a", 1.0)]) == pytest.approx(odds(9))
    assert wrong([Witness("a", 1.0), Witness("b", 1.0)]) == pytest.approx(odds(9, 9))
    assert wrong([Witness("a", 1.0), Witness("b", 0.0)]) == pytest.approx(WRONG_AT_FIRST)
    assert wrong([Witness("a", 0.5)]) == pytest.approx(WRONG_AT_FIRST)


def test_a_sure_model_weighs_more_than_an_unsure_one_and_a_poor_one_nothing() -> None:
    totals = [
        score(model=Witness("m", 1.0, sure), people=[], duplicates=[]).total for sure in (0.2, 0.6, 0.95)
    ]
    assert totals == pytest.approx([WRONG_AT_FIRST, odds(1.5), odds(19)])


def test_a_model_alone_makes_a_suspect_when_it_is_as_sure_as_is_said() -> None:
    totals = [score(model=Witness("m", 1.0, sure), people=[], duplicates=[]).total for sure in (0.82, 0.83)]
    assert totals[0] < LEAST < totals[1]


def test_sources_speak_together_and_are_told_apart() -> None:
    found = score(
        model=Witness("m", 1.0, 0.8), people=[Witness("a", 0.0)], duplicates=[Witness("c", 1.0, of_copy(0.5))]
    )
    assert found.total == pytest.approx(odds(4, 1 / 9, 0.7 / 0.3))
    assert (found.model, found.people, found.duplicates) == pytest.approx(
        (odds(4), odds(1 / 9), odds(0.7 / 0.3))
    )


def test_nobody_says_anything() -> None:
    assert score(model=None, people=[], duplicates=[]).total == 0


@given(st.floats(0, 1), st.floats(0, 1), WITNESSES, WITNESSES)
def test_between_nothing_and_one_and_higher_by_another_that_contradicts(
    far: float, sure: float, people: list[Witness], duplicates: list[Witness]
) -> None:
    model = Witness("m", far, sure)
    found = score(model=model, people=people, duplicates=duplicates).total
    assert 0 < found < 1
    more = score(model=model, people=[*people, Witness("another", 1.0)], duplicates=duplicates).total
    fewer = score(model=model, people=[*people, Witness("another", 0.0)], duplicates=duplicates).total
    assert fewer < found < more
