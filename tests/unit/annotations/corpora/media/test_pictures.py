"""Storyboards: which frames they show, and where a player of the proxy finds them."""

import re
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.media.pictures import MAX_TILES, Board, Storyboard, fit, storyboard_frames
from annotations.corpora.media.timemap import ProxyMap, TimeMap

CUE = re.compile(
    r"(\d\d):(\d\d):(\d\d)\.(\d{3}) --> (\d\d):(\d\d):(\d\d)\.(\d{3})\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)\n"
)


@st.composite
def clips(draw: st.DrawFn) -> TimeMap:
    gaps = draw(st.lists(st.integers(2_000, 3_000_000), max_size=90))
    times = np.concatenate([[0], np.cumsum(gaps)]).astype(np.int64)
    return TimeMap(
        times, int(times[-1]) + draw(st.integers(2_000, 3_000_000)), draw(st.integers(-(10**6), 10**6))
    )


def cues(text: str) -> list[tuple[int, int, tuple[int, int, int, int]]]:
    """(start ms, end ms, region) of each cue."""
    found = []
    for match in CUE.finditer(text):
        h1, m1, s1, f1, h2, m2, s2, f2 = (int(part) for part in match.groups()[:8])
        x, y, w, h = (int(part) for part in match.groups()[9:])
        found.append(
            (((h1 * 60 + m1) * 60 + s1) * 1000 + f1, ((h2 * 60 + m2) * 60 + s2) * 1000 + f2, (x, y, w, h))
        )
    return found


@given(clips())
def test_a_storyboard_is_bounded_ordered_and_starts_with_the_first_frame(times: TimeMap) -> None:
    frames = storyboard_frames(times)
    assert frames[0] == 0
    assert len(frames) <= MAX_TILES
    assert frames == sorted(set(frames))
    assert frames[-1] < len(times)


@given(clips())
def test_cues_cover_the_proxy_and_begin_with_the_frame_they_show(times: TimeMap) -> None:
    shown = tuple(times.time_of(frame) for frame in storyboard_frames(times))
    board = Board(min(10, len(shown)), -(-len(shown) // 10), 160, 90, shown)
    proxy = ProxyMap.plan(times)
    found = cues(board.webvtt(proxy, "/s"))
    assert found[0][0] == 0
    assert found[-1][1] == (proxy.proxy_time_us(proxy.frame_count) + 500) // 1000
    for (_, end, _), (start, _, _) in pairwise(found):
        assert end == start
    for start, _, (left, top, _, _) in found:
        index = top // 90 * board.columns + left // 160
        frame = proxy.proxy_frame(board.times_us[index])
        assert abs(start * 1000 - proxy.proxy_time_us(frame)) <= 500
        if proxy.hidden_frames == 0:
            assert proxy.source_us(frame) == board.times_us[index]


def test_cues_of_a_constant_clip_that_starts_late() -> None:
    times = TimeMap.constant(50, Fraction(25), start_us=7_000_000)
    shown = tuple(times.time_of(frame) for frame in storyboard_frames(times))
    text = Board(10, 1, 160, 90, shown).webvtt(ProxyMap.plan(times), "/api/videos/1/storyboard")
    assert text.startswith(
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.240\n/api/videos/1/storyboard#xywh=0,0,160,90\n"
    )
    assert text.endswith("00:00:01.720 --> 00:00:02.000\n/api/videos/1/storyboard#xywh=1120,0,160,90\n")


@given(clips())
def test_a_board_survives_json(times: TimeMap) -> None:
    shown = tuple(times.time_of(frame) for frame in storyboard_frames(times))
    board = Board(10, 6, 160, 90, shown)
    assert Board.from_dict(board.as_dict()) == board


def test_a_sprite_of_missing_pictures_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ValueError, match="0 pictures were taken of 4"):
        Storyboard(TimeMap.constant(25, Fraction(25))).save(tmp_path_factory.mktemp("s") / "s.jpg")


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1920, 1080), (160, 90)), ((48, 48), (160, 160)), ((10, 8000), (1, 240)), ((8000, 10), (160, 1))],
)
def test_tiles_fit_their_box(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fit(*size, (160, 240)) == expected
