"""How far answers agree: worked out by hand for every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.reviews.alike import agreement, within

SPAN, ONSET, CAUSE = Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION, Kind.CAUSAL_REASONING
ABSENT = Said("absent", None)


def span(start: int, end: int) -> Said:
    return Said("valued", {"start_us": start, "end_us": end})


def onset(at: int) -> Said:
    return Said("valued", {"at_us": at})


def text(words: str) -> Said:
    return Said("valued", {"text": words})


def test_spans_agree_by_overlap() -> None:
    assert agreement(SPAN, span(2_000_000, 3_500_000), span(3_200_000, 4_000_000)) == pytest.approx(0.15)
    assert agreement(SPAN, span(0, 10), span(10, 20)) == 0.0
    assert agreement(SPAN, ABSENT, ABSENT) == 1.0
    assert agreement(SPAN, ABSENT, span(0, 10)) == 0.0


def test_onsets_half_a_second_apart_agree_to_one_half() -> None:
    assert agreement(ONSET, onset(1_000_000), onset(1_500_000)) == 0.5
    assert agreement(ONSET, onset(1_000_000), onset(1_000_000)) == 1.0
    assert agreement(ONSET, onset(0), onset(2_000_000)) == pytest.approx(0.2)


def test_texts_agree_by_their_words() -> None:
    assert agreement(CAUSE, text("Ice on the bridge."), text("the bridge, ICE on")) == 1.0
    assert agreement(CAUSE, text("ice on road"), text("ice on bridge")) == pytest.approx(2 / 3)


def test_yes_and_no_agree_or_not() -> None:
    yes, no = Said("valued", {"label": "yes"}), Said("valued", {"label": "no"})
    assert (agreement(Kind.CRASH_RECOGNITION, yes, yes), agreement(Kind.CRASH_RECOGNITION, yes, no)) == (
        1.0,
        0.0,
    )


@pytest.mark.parametrize("kind", [SPAN, ONSET, CAUSE])
def test_what_is_missing_or_no_answer_agrees_with_nothing(kind: str) -> None:
    said = {SPAN: span(1, 2), ONSET: onset(1), CAUSE: text("Ice.")}[kind]  # type: ignore[index]
    assert agreement(kind, None, said) == 0.0
    assert agreement(kind, said, Said("unparsable", None)) == 0.0
    assert agreement(kind, None, None) == 1.0


times = st.integers(0, 10_000_000)


@given(times, times, times, times)
def test_agreement_is_symmetric_bounded_and_full_with_oneself(a: int, b: int, c: int, d: int) -> None:
    one, other = span(min(a, b), max(a, b)), span(min(c, d), max(c, d))
    for kind, x, y in ((SPAN, one, other), (ONSET, onset(a), onset(c))):
        assert agreement(kind, x, y) == agreement(kind, y, x)
        assert 0.0 <= agreement(kind, x, y) <= 1.0
        assert agreement(kind, x, x) == 1.0


def test_tolerances_are_per_edge_and_inclusive() -> None:
    assert within(SPAN, span(1_000_000, 2_000_000), span(1_100_000, 1_900_000), 100_000)
    assert not within(SPAN, span(1_000_000, 2_000_000), span(1_100_001, 2_000_000), 100_000)
    assert within(ONSET, onset(5), onset(8), 3)
    assert not within(ONSET, onset(5), onset(9), 3)
    assert within(CAUSE, text("ice on road"), text("ice on bridge"), 0.34)
    assert not within(CAUSE, text("ice on road"), text("ice on bridge"), 0.33)
    assert within(SPAN, ABSENT, ABSENT, 0)
    assert not within(SPAN, ABSENT, span(0, 1), 10_000_000)
