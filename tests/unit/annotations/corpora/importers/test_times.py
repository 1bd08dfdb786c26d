from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from annotations.corpora.importers.rows import BadField
from annotations.corpora.importers.times import frame_of, frame_us, number_of, rate_of, time_us
from annotations.corpora.media.timemap import TimeMap


@given(us=st.integers(0, 10**13 - 1), unit=st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_a_time_written_out_is_read_exactly(us: int, unit: str) -> None:
    size = {"seconds": 6, "milliseconds": 3, "microseconds": 0}[unit]
    assert time_us(str(Decimal(us).scaleb(-size)), "t", unit=unit) == us


@given(us=st.integers(0, 10**9))
def test_a_float_means_the_decimal_that_prints_it(us: int) -> None:
    assert time_us(us / 1_000_000, "t") == us


@pytest.mark.parametrize("text", ["0.0000001", "1.23333333333"])
def test_finer_than_a_microsecond_is_refused_unless_rounding_is_asked_for(text: str) -> None:
    with pytest.raises(BadField, match="finer than a microsecond"):
        time_us(text, "t")
    exact = Fraction(text) * 1_000_000
    assert abs(time_us(text, "t", rounded=True) - exact) <= Fraction(1, 2)


def test_rounding_is_half_up() -> None:
    assert [time_us(f"0.000000{digit}", "t", rounded=True) for digit in (4, 5)] == [0, 1]
    assert time_us("1.0000015", "t", rounded=True) == 1_000_002


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "no number"), ("1,5", "write a decimal point"), ("nan", "no number"), ("inf", "no number"),
        ("1 s", "no number"), ("٣", "no number"), ("-1", "before the clip's start"), ("1e12", "longer than any"),
        ("9" * 40, "no number"), (float("nan"), "no number"), (True, "not bool"), (None, "not NoneType"),
        (Decimal("1E+999999999"), "no number"), ([1], "not list"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_its_reason(value: Any, reason: str) -> None:
    with pytest.raises(BadField, match=reason) as caught:
        time_us(value, "onset")
    assert caught.value.field == "onset"


@given(value=st.text() | st.floats() | st.integers() | st.decimals() | st.booleans() | st.none())
def test_any_value_is_a_number_or_a_bad_field(value: Any) -> None:
    with suppress(BadField):
        assert abs(number_of(value, "t")) < Decimal("1E+120")


@given(frame=st.integers(0, 10**6), fps=st.fractions(1, 240))
def test_a_frame_falls_where_a_time_map_of_its_rate_puts_it(frame: int, fps: Fraction) -> None:
    exact = frame / fps * 1_000_000
    assert abs(frame_us(frame, fps, "f") - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("fps", [Fraction(10), Fraction(25, 2), Fraction(30000, 1001), Fraction(60000, 1001)])
def test_the_time_of_a_frame_is_on_that_frame(fps: Fraction) -> None:
    times = TimeMap.constant(200, fps)
    assert [frame_us(frame, fps, "f") for frame in range(200)] == times.times_us.tolist()


def test_a_frame_is_whole_and_not_before_the_start() -> None:
    assert [frame_of(value, "f") for value in ("45", 45, 45.0, "45.0", "-1")] == [45, 45, 45, 45, -1]
    for value in ("4.5", "", "1e20", None):
        with pytest.raises(BadField):
            frame_of(value, "f")
    with pytest.raises(BadField, match="before the clip's start"):
        frame_us(-1, Fraction(30), "f")
    with pytest.raises(BadField, match="later than any clip"):
        frame_us(10**9, Fraction(1, 1000), "f")


@given(rate=st.builds(Fraction, st.integers(1, 240_000), st.sampled_from([1, 2, 4, 500, 1000, 1001])))
def test_a_rate_survives_being_printed_as_a_float(rate: Fraction) -> None:
    assume(rate <= 1000)
    assert rate_of(float(rate), "fps") == rate
    assert rate_of(f"{rate.numerator}/{rate.denominator}", "fps") == rate


def test_a_rate_is_taken_as_it_is_written() -> None:
    assert rate_of("29.97", "fps") == Fraction(2997, 100)
    assert rate_of(Decimal("12.5"), "fps") == Fraction(25, 2)
    for value in ("0", "30/0", "-30", "1001", "fast", "", None, True):
        with pytest.raises(BadField):
            rate_of(value, "fps")
