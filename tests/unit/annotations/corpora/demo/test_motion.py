"""Footprints, gaps and profiles behind the demo's ground truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.demo.motion import SHAPES, Track, course, ease, first_contact, gap, slowing

TIMES = np.arange(50) / 10


def _track(kind: str, x: float, y: float, heading: float = 0.0, speed: float = 0.0) -> Track:
    still = np.zeros_like(TIMES)
    return Track(
        kind, still + x + speed * TIMES, still + y, still + heading, np.zeros(TIMES.shape, dtype=np.bool_)
    )


def test_cars_bumper_to_bumper_have_no_gap() -> None:
    length = SHAPES["car"].length
    assert gap(_track("car", 0, 0), _track("car", length, 0))[0] == pytest.approx(0.0)
    assert gap(_track("car", 0, 0), _track("car", length + 1.5, 0))[0] == pytest.approx(1.5)
    assert gap(_track("car", 0, 0), _track("car", length / 2, 0))[0] < 0


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(-4, 4), st.floats(-4, 4))
def test_the_gap_is_symmetric_and_its_sign_right(x: float, y: float, first: float, second: float) -> None:
    a, b = _track("car", 0, 0, first), _track("truck", x, y, second)
    apart = float(gap(a, b)[0])
    assert apart == pytest.approx(float(gap(b, a)[0]))
    inside = math.hypot(x, y) < (SHAPES["car"].width + SHAPES["truck"].width) / 2
    outside = math.hypot(x, y) > math.hypot(4.4, 1.8) / 2 + math.hypot(8.0, 2.4) / 2
    assert not (inside and apart > 0)
    assert not (outside and apart <= 0)


def test_first_contact_is_the_first_touching_frame() -> None:
    moving = _track("car", -4.4 - 10.0, 0, speed=10.0)
    assert first_contact(moving, _track("car", 0, 0)) == 10
    assert first_contact(moving, _track("car", 0, 5)) is None


def test_settling_ends_exactly_at_rest() -> None:
    settled = _track("car", 0, 0, speed=10.0).settled(TIMES, 10, 30, (8.0, 1.0), 0.3)
    assert settled.first_still() == 30
    assert settled.x[30] == pytest.approx(10.0 + 8.0 * 2.0 / 2)
    assert settled.heading[-1] == pytest.approx(0.3)
    assert not settled.braking[10]
    assert settled.braking[11]


def test_a_body_that_never_moves_is_still_from_the_start() -> None:
    assert _track("car", 0, 0).first_still() == 0


@given(st.floats(1, 30), st.floats(0.5, 9))
def test_braking_to_rest_takes_the_textbook_way(speed: float, rate: float) -> None:
    way = slowing(np.array([0.0, 1e6]), speed, rate)
    assert way[0] == 0
    assert way[1] == pytest.approx(speed**2 / (2 * rate), rel=1e-6)


def test_easing_runs_from_0_to_1() -> None:
    assert ease(np.array([0.0, 0.5, 1.0, 9.0]), 1.0).tolist() == [0.0, 0.5, 1.0, 1.0]


def test_a_turn_never_shows_before_it_begins() -> None:
    x = np.arange(6.0)
    y = np.array([0, 0, 0, 1, 2, 2.0])
    heading = course(x, y)
    assert heading.tolist() == pytest.approx([0, 0, 0, math.pi / 4, math.pi / 4, 0])
