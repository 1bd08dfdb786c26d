from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from annotations.statistics.active import active_us

LIMIT = 60
MOMENTS = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 3)), min_size=1, max_size=60)


def worked(moments: Sequence[tuple[int, int]], limit: int = LIMIT) -> dict[int, int]:
    """Per case, the sum of what follows each moment."""
    at, about, pauses = active_us(
        np.array([one for one, _ in moments]), np.array([case for _, case in moments]), limit_us=limit
    )
    assert (np.diff(at) >= 0).all()
    return {int(case): int(pauses[about == case].sum()) for case in np.unique(about)}


def test_pauses_up_to_the_limit_are_work_and_longer_ones_are_nothing() -> None:
    assert worked([(0, 1), (60, 1), (121, 1), (150, 1)]) == {1: 60 + 29}


def test_one_moment_alone_is_no_time() -> None:
    assert worked([(7, 1)]) == {1: 0}


def test_a_pause_between_two_cases_belongs_to_the_first() -> None:
    assert worked([(0, 1), (10, 2), (40, 2), (50, 1)]) == {1: 10, 2: 40}


@given(MOMENTS)
def test_nobody_works_longer_than_time_passes_however_many_windows_are_open(
    moments: list[tuple[int, int]],
) -> None:
    at = [one for one, _ in moments]
    assert sum(worked(moments).values()) <= max(at) - min(at)


@given(MOMENTS, st.randoms(use_true_random=False))
def test_order_and_repeats_change_nothing(moments: list[tuple[int, int]], random: object) -> None:
    shuffled = [*moments, *moments]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert worked(shuffled) == worked(moments)


@given(MOMENTS)
def test_a_longer_limit_never_takes_time_away(moments: list[tuple[int, int]]) -> None:
    short, long = worked(moments, 30), worked(moments, 90)
    assert all(long[case] >= time for case, time in short.items())
