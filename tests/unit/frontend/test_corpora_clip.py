"""What the page of a video says of its measures, its frames in time and its records."""

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.media.timemap import TimeMap
from frontend.corpora_clip import SHOWN_JUMPS, pretty_json, rate, size, time_facts


@pytest.mark.parametrize(
    ("num", "den", "words"),
    [
        (30, 1, "30"),
        (30000, 1001, "29.97 (30000/1001)"),
        (25, 2, "12.5 (25/2)"),
        (None, None, ""),
        (60, 2, "30"),
    ],
)
def test_rates_are_exact(num: int | None, den: int | None, words: str) -> None:
    assert rate(num, den) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (4_000_000_000_000, "4.0 TB")]
)
def test_sizes(count: int, words: str) -> None:
    assert size(count) == words


def test_a_constant_rate_has_no_line_and_no_jumps() -> None:
    found = time_facts(TimeMap.constant(90, Fraction(30000, 1001)))
    assert (found.frames, found.points, found.jumps, found.more_jumps) == (90, "", [], 0)
    assert found.longest_us - found.shortest_us <= 2
    assert found.usual_us in (33366, 33367)


def test_a_dropped_frame_is_a_jump() -> None:
    times = [0, 40_000, 80_000, 160_000, 200_000]
    found = time_facts(TimeMap(np.array(times), 240_000, start_us=500_000))
    assert [(jump.frame, jump.at_us, jump.stays_us) for jump in found.jumps] == [(2, 80_000, 80_000)]
    assert (found.shortest_us, found.usual_us, found.longest_us, found.start_us) == (
        40_000,
        40_000,
        80_000,
        500_000,
    )
    heights = [float(point.split(",")[1]) for point in found.points.split()]
    assert heights.index(min(heights)) == 2  # the longest stands highest


def test_many_jumps_are_counted_and_one_frame_is_enough() -> None:
    steps = [10_000, 10_000, 90_000] * 40
    found = time_facts(TimeMap(np.cumsum([0, *steps]), sum(steps) + 10_000))
    assert (len(found.jumps), found.more_jumps) == (SHOWN_JUMPS, 40 - SHOWN_JUMPS)
    assert time_facts(TimeMap(np.array([0]), 40_000)).jumps == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_pretty_json_says_the_same(value: Any) -> None:
    assert json.loads(pretty_json(value)) == value


def test_plain_lists_stay_on_one_line() -> None:
    assert pretty_json({"labels": [0, 0, 1], "boxes": [[1, 2], [3]]}) == (
        '{\n  "labels": [0, 0, 1],\n  "boxes": [\n    [1, 2],\n    [3]\n  ]\n}'
    )
