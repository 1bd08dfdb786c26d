"""Times go to Label Studio and come back exact, at every frame rate there is and for clips of no rate at all.

On the way they are what they are in reality: JSON, whole frame numbers, and a frame rate in double precision.
"""

import json
import math
from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.corpora.media.timemap import STANDARD_RATES, ProxyMap, TimeMap
from annotations.labelstudio.conversion import Draft, from_regions, to_regions

SPAN, ONSET = Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION
MILLION = 1_000_000

ODD_RATES = st.fractions(Fraction(1, 4), Fraction(240), max_denominator=1001)
RATES = st.sampled_from(STANDARD_RATES) | ODD_RATES
HOURS = st.integers(1, 24 * 3600 * 240)
"""Frame numbers: a day at the highest rate."""


def constant(fps: Fraction, frames: int) -> ProxyMap:
    return ProxyMap.plan(TimeMap.constant(frames, fps), declared=fps)


@st.composite
def jittered(draw: st.DrawFn) -> ProxyMap:
    """Nearly constant, as containers with whole milliseconds and GIFs with hundredths have it."""
    fps, count = draw(st.sampled_from(STANDARD_RATES)), draw(st.integers(2, 90))
    grain = draw(st.sampled_from([1_000, 10_000]))
    times = [round(number * MILLION / fps / grain) * grain for number in range(count)]
    kept = sorted(set(times))
    return ProxyMap.plan(TimeMap(np.array(kept), kept[-1] + max(1, round(MILLION / fps))))


@st.composite
def variable(draw: st.DrawFn) -> ProxyMap:
    """Any gaps at all, from a microsecond to a frozen second."""
    gaps = draw(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=40))
    times = np.concatenate([[0], np.cumsum(gaps[:-1])]).astype(np.int64)
    return ProxyMap.plan(TimeMap(times, int(times[-1]) + gaps[-1]))


CLIPS = st.one_of(st.builds(constant, RATES, st.integers(1, 600)), jittered(), variable())


@st.composite
def clips_with_frames(draw: st.DrawFn) -> tuple[ProxyMap, list[int]]:
    """A clip, and three source frames in order that its proxy shows: where the cue, the crash and its end begin."""
    clip = draw(CLIPS)
    shown = sorted(set(clip.source_frames.tolist()))
    frame = st.sampled_from(shown)
    onset, start, end = sorted(draw(st.tuples(frame, frame, frame)))
    return clip, [clip.source.time_of(number) for number in (onset, start, end)]


def there_and_back(
    said: dict[str, Said], clip: ProxyMap, *, drafts: dict[str, Said] | None = None
) -> dict[str, Said]:
    """Drawn, sent as JSON, read again; without `drafts` nothing but the frame numbers tells the time."""
    regions = to_regions({kind: Draft(what) for kind, what in said.items()}, clip)
    reading = from_regions(json.loads(json.dumps(regions)), drafts=drafts or {}, frames=clip)
    assert reading.unread == []
    return reading.said


@given(clips_with_frames())
def test_a_moment_when_a_frame_comes_on_screen_survives_by_its_number_alone(
    clip_and_times: tuple[ProxyMap, list[int]],
) -> None:
    clip, (onset, start, end) = clip_and_times
    said = {SPAN: Said("valued", {"start_us": start, "end_us": end}), ONSET: Said("valued", {"at_us": onset})}
    back = there_and_back(said, clip)
    assert back[ONSET].value == {"at_us": onset}
    value = back[SPAN].value
    assert value is not None
    assert value["start_us"] == start
    if start < end:
        assert value["end_us"] == end


@given(CLIPS)
def test_the_whole_clip_survives_by_its_numbers_alone(clip: ProxyMap) -> None:
    whole = {SPAN: Said("valued", {"start_us": 0, "end_us": clip.source.duration_us})}
    assert there_and_back(whole, clip)[SPAN] == whole[SPAN]


@given(CLIPS, st.data())
def test_a_moment_between_frames_survives_while_nobody_moves_it(clip: ProxyMap, data: st.DataObject) -> None:
    times = st.integers(0, clip.source.duration_us)
    onset, start, end = sorted(data.draw(st.tuples(times, times, times)))
    said = {SPAN: Said("valued", {"start_us": start, "end_us": end}), ONSET: Said("valued", {"at_us": onset})}
    back = there_and_back(said, clip, drafts=said)
    assert (back[SPAN], back[ONSET]) == (said[SPAN], said[ONSET])


@given(CLIPS, st.data())
def test_what_came_back_once_goes_and_comes_back_the_same_for_ever(
    clip: ProxyMap, data: st.DataObject
) -> None:
    times = st.integers(0, clip.source.duration_us)
    start, end = sorted(data.draw(st.tuples(times, times)))
    said = {SPAN: Said("valued", {"start_us": start, "end_us": end}), ONSET: Said("valued", {"at_us": start})}
    once = there_and_back(said, clip)
    drawn = {kind: what for kind, what in once.items() if what.value is not None}
    assert there_and_back(drawn, clip) == once


@given(RATES, HOURS)
@example(Fraction(30000, 1001), 107_892)
@example(Fraction(24000, 1001), 2_073_600)
def test_label_studios_own_arithmetic_gives_every_frame_its_number(fps: Fraction, frame: int) -> None:
    """Frame N stands at (N - 1) / fps seconds; both in double precision, as in the browser."""
    rate = json.loads(json.dumps(float(fps)))
    seconds = (frame - 1) / rate
    assert math.floor(seconds * rate + 0.5) + 1 == frame
    assert abs(Fraction(seconds) - (frame - 1) / fps) < Fraction(1, 2 * MILLION)
