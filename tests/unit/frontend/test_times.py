"""Seconds on the pages come from integer microseconds without a float in between."""

from hypothesis import given
from hypothesis import strategies as st

from frontend import times


def test_half_a_millisecond_rounds_up() -> None:
    assert times.seconds(1_234_500) == "1.235"
    assert times.seconds(1_234_499) == "1.234"
    assert times.seconds(999_999) == "1.000"


def test_spans_and_instants_carry_their_unit() -> None:
    assert times.span(1_200_000, 3_400_000) == "1.200 – 3.400 s"  # noqa: RUF001
    assert times.instant(0) == "0.000 s"


@given(st.integers(0, 10**13))
def test_seconds_are_never_off_by_more_than_half_a_millisecond(us: int) -> None:
    whole, _, ms = times.seconds(us).partition(".")
    assert len(ms) == 3
    assert abs((int(whole) * 1000 + int(ms)) * 1000 - us) <= 500
