import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.statistics.times import overlap, overlap_distance, shift_seconds, within


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((0, 10), (0, 10), 1.0),
        ((0, 10), (5, 15), 1 / 3),
        ((0, 10), (2, 4), 0.2),
        ((0, 10), (10, 20), 0.0),
        ((0, 10), (20, 30), 0.0),
        ((5, 5), (5, 5), 1.0),
        ((5, 5), (6, 6), 0.0),
        ((5, 5), (0, 10), 0.0),
    ],
)
def test_overlap(first: tuple[int, int], second: tuple[int, int], expected: float) -> None:
    assert overlap(np.array([first]), np.array([second]))[0] == pytest.approx(expected)


SPAN = st.tuples(st.integers(0, 10_000_000), st.integers(0, 5_000_000)).map(lambda at: (at[0], at[0] + at[1]))


@given(SPAN, SPAN, st.integers(0, 10**9))
def test_overlap_is_mutual_and_knows_no_origin(
    first: tuple[int, int], second: tuple[int, int], later: int
) -> None:
    one, other = np.array([first]), np.array([second])
    here = overlap(one, other)
    assert 0 <= here[0] <= 1
    assert overlap(other, one) == here
    assert overlap(one + later, other + later) == here
    assert overlap_distance(one, one)[0] == 0


def test_errors_are_seconds_and_signed() -> None:
    shift = shift_seconds(np.array([1_000_000, 2_000_000, 0]), np.array([1_250_000, 1_400_000, 500_000]))
    np.testing.assert_allclose(shift, [0.25, -0.6, 0.5])
    assert within(shift, tolerance=0.5).tolist() == [1, 0, 1]
