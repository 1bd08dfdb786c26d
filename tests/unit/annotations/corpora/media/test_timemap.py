"""Time maps and proxy maps: exact at every rate, and stored without loss."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.media.timemap import (
    MICROSECONDS,
    ProxyMap,
    TimeMap,
    TimeMapError,
    constant_times_us,
    frame_time_us,
    ticks_to_us,
)

RATES = [
    Fraction(10),
    Fraction(25, 2),
    Fraction(15),
    Fraction(24000, 1001),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(60000, 1001),
    Fraction(60),
]
rates = st.sampled_from(RATES)


@st.composite
def variable_maps(draw: st.DrawFn, shortest_us: int = 1) -> TimeMap:
    gaps = draw(st.lists(st.integers(shortest_us, 400_000), min_size=0, max_size=80))
    last = draw(st.integers(shortest_us, 400_000))
    start = draw(st.integers(-5_000_000, 5_000_000))
    times = np.concatenate([[0], np.cumsum(gaps)]).astype(np.int64)
    return TimeMap(times, int(times[-1]) + last, start)


@given(st.integers(0, 10_000_000), rates)
def test_frame_time_is_the_nearest_microsecond(frame: int, fps: Fraction) -> None:
    exact = frame * MICROSECONDS / fps
    assert abs(frame_time_us(frame, fps) - exact) <= Fraction(1, 2)


@given(
    st.integers(-(2**62), 2**62),
    st.sampled_from([Fraction(1, 90_000), Fraction(1001, 30_000), Fraction(1, 7)]),
)
def test_ticks_convert_exactly_however_large(ticks: int, base: Fraction) -> None:
    assert abs(ticks_to_us(ticks, base) - ticks * base * MICROSECONDS) <= Fraction(1, 2)


@given(variable_maps())
def test_encoding_round_trip(time_map: TimeMap) -> None:
    again = TimeMap.decode(time_map.encode())
    assert again == time_map
    assert hash(again) == hash(time_map)


@pytest.mark.parametrize(
    "data", [b"", b"TM1\0", b"nonsense" * 9, TimeMap.constant(5, Fraction(30)).encode()[:-3]]
)
def test_bytes_that_are_no_time_map_are_refused(data: bytes) -> None:
    with pytest.raises(TimeMapError):
        TimeMap.decode(data)


def test_bytes_with_a_wrong_frame_count_are_refused() -> None:
    data = bytearray(TimeMap.constant(5, Fraction(30)).encode())
    data[4] = 9
    with pytest.raises(TimeMapError, match="differences"):
        TimeMap.decode(bytes(data))


def test_constant_maps_are_small() -> None:
    assert len(TimeMap.constant(18_000, Fraction(30000, 1001)).encode()) < 512


@given(variable_maps(), st.data())
def test_frame_at_is_the_last_frame_started(time_map: TimeMap, data: st.DataObject) -> None:
    us = data.draw(st.integers(-10, time_map.duration_us + 10))
    frame = time_map.frame_at(us)
    started = [k for k in range(len(time_map)) if time_map.time_of(k) <= us]
    assert frame == (started[-1] if started else 0)


@given(variable_maps())
def test_every_frame_time_finds_its_frame(time_map: TimeMap) -> None:
    for frame in range(len(time_map)):
        assert time_map.frame_at(time_map.time_of(frame)) == frame


def test_frames_outside_are_refused() -> None:
    time_map = TimeMap.constant(3, Fraction(10))
    for frame in (-1, 3):
        with pytest.raises(IndexError):
            time_map.time_of(frame)


@pytest.mark.parametrize(
    ("times", "duration"), [([], 1), ([5, 6], 9), ([0, 4, 4], 9), ([0, 5, 4], 9), ([0, 5], 5), ([[0, 1]], 5)]
)
def test_impossible_times_are_refused(times: list[int], duration: int) -> None:
    with pytest.raises(TimeMapError):
        TimeMap(np.array(times, dtype=np.int64), duration)


def test_times_cannot_be_changed_afterwards() -> None:
    times = constant_times_us(3, Fraction(10))
    time_map = TimeMap(times, 300_000)
    times[1] = 7
    assert time_map.time_of(1) == 100_000
    with pytest.raises(ValueError, match="read-only"):
        time_map.times_us[1] = 7


@given(rates, st.integers(2, 400), st.integers(-(10**6), 10**6))
def test_constant_rate_is_recognised_at_any_start(fps: Fraction, frames: int, start: int) -> None:
    time_map = TimeMap.from_ticks((start + k for k in range(frames)), 1 / fps, last_ticks=1)
    if frames >= 20:  # fewer frames cannot tell 29.97 from 30
        assert time_map.constant_rate() == fps
    assert time_map.start_us == ticks_to_us(start, 1 / fps)
    assert time_map.duration_us == frame_time_us(frames, fps)


@pytest.mark.parametrize("fps", RATES)
def test_millisecond_containers_keep_their_constant_rate(fps: Fraction) -> None:
    ticks = [round(k * 1000 / fps) for k in range(300)]
    assert TimeMap.from_ticks(ticks, Fraction(1, 1000)).constant_rate() == fps


def test_hundredth_second_gif_delays_count_as_constant() -> None:
    ticks = [round(k * 100 / 12) for k in range(41)]
    assert TimeMap.from_ticks(ticks, Fraction(1, 100)).constant_rate() == 12


def test_odd_constant_rates_are_kept() -> None:
    odd = Fraction(1711, 100)
    assert TimeMap.constant(200, odd).constant_rate(declared=odd) == odd


def test_a_variable_rate_has_no_constant_rate() -> None:
    time_map = TimeMap.from_ticks([0, 1, 2, 4, 7, 8, 11], Fraction(1, 30))
    assert time_map.constant_rate() is None
    assert time_map.average_rate() == Fraction(7 * MICROSECONDS, time_map.duration_us).limit_denominator(
        100_000
    )


def test_unordered_and_doubled_ticks_become_one_time_per_frame() -> None:
    time_map = TimeMap.from_ticks([10, 30, 20, 20, 40], Fraction(1, 100))
    assert time_map.times_us.tolist() == [0, 100_000, 100_001, 200_000, 300_000]


@given(rates, st.integers(2, 300), st.integers(0, 10**9))
def test_constant_source_has_a_one_to_one_proxy(fps: Fraction, frames: int, start: int) -> None:
    source = TimeMap.constant(frames, fps, start_us=start)
    proxy = ProxyMap.plan(source, declared=fps)
    assert proxy.one_to_one
    assert proxy.frame_count == frames
    for frame in range(frames):
        time = source.time_of(frame)
        assert proxy.proxy_frame(time) == frame
        assert proxy.source_us(frame) == time
    assert proxy.proxy_boundary(source.duration_us) == frames
    assert proxy.source_us(frames) == source.duration_us


@given(variable_maps())
def test_variable_source_round_trips_every_shown_frame(source: TimeMap) -> None:
    proxy = ProxyMap.plan(source)
    shown = proxy.source_frames
    assert shown.size == proxy.frame_count
    assert bool((np.diff(shown) >= 0).all())
    assert shown[0] == 0
    assert shown[-1] == len(source) - 1
    for n in range(proxy.frame_count):
        time = proxy.source_us(n)
        first = proxy.proxy_frame(time)
        assert first <= n
        assert proxy.source_us(first) == time
        if not proxy.one_to_one:
            assert shown[n] == source.frame_at(proxy.proxy_time_us(n))
    assert proxy.source_us(proxy.proxy_boundary(source.duration_us)) == source.duration_us


@given(variable_maps(shortest_us=17_000))
def test_sources_up_to_60_fps_hide_no_frame(source: TimeMap) -> None:
    proxy = ProxyMap.plan(source)
    assert proxy.hidden_frames == 0
    for frame in range(len(source)):
        assert proxy.source_us(proxy.proxy_frame(source.time_of(frame))) == source.time_of(frame)


@given(variable_maps(shortest_us=2_000))
def test_the_same_rate_and_count_give_the_same_map(source: TimeMap) -> None:
    plan = ProxyMap.plan(source)
    again = ProxyMap(TimeMap.decode(source.encode()), plan.fps, plan.frame_count)
    assert np.array_equal(again.source_frames, plan.source_frames)
    assert again.one_to_one == plan.one_to_one


def test_variable_source_on_a_grid_takes_the_grid_rate() -> None:
    source = TimeMap.from_ticks([0, 1, 2, 4, 7, 8, 11, 12], Fraction(1, 30), last_ticks=1)
    proxy = ProxyMap.plan(source)
    assert proxy.fps == 30
    assert proxy.source_frames.tolist() == [0, 1, 2, 2, 3, 3, 3, 4, 5, 5, 5, 6, 7]


def test_a_short_first_frame_does_not_shift_the_proxy() -> None:
    ticks = [0, 180, *(180 + 1000 * k for k in range(1, 97))]
    proxy = ProxyMap.plan(TimeMap.from_ticks(ticks, Fraction(1, 30_000), last_ticks=1000))
    assert proxy.fps == 30
    assert proxy.hidden_frames == 0


def test_faster_than_the_cap_hides_frames_and_says_so() -> None:
    times = np.array([0, 4_000, 8_000, 40_000, 44_000, 60_000], dtype=np.int64)
    proxy = ProxyMap.plan(TimeMap(times, 80_000))
    assert proxy.fps == 60
    assert proxy.hidden_frames == 2
    assert proxy.source_us(proxy.proxy_frame(4_000)) == 8_000


def test_one_frame_is_a_clip_too() -> None:
    proxy = ProxyMap.plan(TimeMap(np.zeros(1, dtype=np.int64), 250_000))
    assert proxy.frame_count == 3
    assert set(proxy.source_frames.tolist()) == {0}


def test_proxy_frames_outside_are_refused() -> None:
    proxy = ProxyMap.plan(TimeMap.constant(3, Fraction(10)))
    for frame in (-1, 4):
        with pytest.raises(IndexError):
            proxy.source_us(frame)
    with pytest.raises(TimeMapError):
        ProxyMap(proxy.source, Fraction(0), 3)
