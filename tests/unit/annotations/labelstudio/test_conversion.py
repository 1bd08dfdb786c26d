"""Answers to regions and back: unchanged means exactly the draft, moved means exactly that frame's time."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import NEGATIVE_TEXT, Kind
from annotations.cases.rules import Said
from annotations.corpora.media.timemap import ProxyMap, TimeMap
from annotations.labelstudio.conversion import (
    Draft,
    Reading,
    from_regions,
    onset_frame,
    span_frames,
    to_regions,
)

RATES = [
    Fraction(24), Fraction(25), Fraction(30), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(10),
    Fraction(25, 2),
]  # fmt: skip
SPAN, ONSET = Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION


def constant(fps: Fraction, frames: int = 300) -> ProxyMap:
    return ProxyMap.plan(TimeMap.constant(frames, fps))


@st.composite
def variable(draw: st.DrawFn) -> ProxyMap:
    gaps = draw(st.lists(st.integers(5_000, 400_000), min_size=2, max_size=60))
    times = np.concatenate([[0], np.cumsum(gaps[:-1])])
    return ProxyMap.plan(TimeMap(times, int(times[-1]) + gaps[-1]))


maps = st.one_of(st.builds(constant, st.sampled_from(RATES), st.integers(2, 400)), variable())


@st.composite
def maps_with_times(draw: st.DrawFn) -> tuple[ProxyMap, int, int, int]:
    """A clip with onset <= start <= end anywhere inside it."""
    frames = draw(maps)
    times = st.integers(0, frames.source.duration_us)
    onset, start, end = sorted(draw(st.tuples(times, times, times)))
    return frames, onset, start, end


def said_span(start: int, end: int) -> Said:
    return Said("valued", {"start_us": start, "end_us": end})


def said_onset(at: int) -> Said:
    return Said("valued", {"at_us": at})


def shown(frames: ProxyMap, **said: Said) -> list[dict[str, Any]]:
    return to_regions({kind: Draft(what) for kind, what in said.items()}, frames)


def read(result: object, frames: ProxyMap, **drafts: Said) -> Reading:
    return from_regions(result, drafts=drafts, frames=frames)


def ranged(first: Any, last: Any, label: str = "Crash") -> dict[str, Any]:
    return {
        "from_name": "segments", "to_name": "video", "type": "timelinelabels",
        "value": {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]},
    }  # fmt: skip


def answered(choice: str) -> dict[str, Any]:
    return {"from_name": "crash", "to_name": "video", "type": "choices", "value": {"choices": [choice]}}


@given(maps_with_times())
def test_what_nobody_moved_comes_back_to_the_microsecond(case: tuple[ProxyMap, int, int, int]) -> None:
    frames, at, start, end = case
    drafts = {SPAN: said_span(start, end), ONSET: said_onset(at)}
    assert read(shown(frames, **drafts), frames, **drafts).said == drafts


@given(maps_with_times(), st.data())
def test_a_moved_edge_has_the_time_of_the_frame_it_was_moved_to(
    case: tuple[ProxyMap, int, int, int], data: st.DataObject
) -> None:
    frames, at, start, end = case
    drafts = {SPAN: said_span(start, end), ONSET: said_onset(at)}
    first, last = span_frames(start, end, frames)
    new_first = data.draw(st.integers(1, last))
    new_last = data.draw(st.integers(new_first, frames.frame_count))
    new_onset = data.draw(st.integers(1, frames.frame_count))
    result = [ranged(new_first, new_last), ranged(new_onset, frames.frame_count, "Pre-crash")]
    said = read(result, frames, **drafts).said
    value, onset = said[SPAN].value, said[ONSET].value
    assert value is not None
    assert onset is not None
    expected_start = start if new_first == first else frames.source_us(new_first - 1)
    expected_end = end if new_last == last else frames.source_us(new_last)
    assert value == {"start_us": expected_start, "end_us": max(expected_start, expected_end)}
    assert onset["at_us"] == (at if new_onset == onset_frame(at, frames) else frames.source_us(new_onset - 1))


@given(maps_with_times())
def test_drawn_ranges_lie_inside_the_clip_and_do_not_overlap(case: tuple[ProxyMap, int, int, int]) -> None:
    frames, at, start, end = case
    regions = shown(frames, **{SPAN: said_span(start, end), ONSET: said_onset(at)})
    (pre,), (crash,) = (region["value"]["ranges"] for region in regions)
    assert 1 <= pre["start"] <= pre["end"] <= frames.frame_count
    assert 1 <= crash["start"] <= crash["end"] <= frames.frame_count
    assert pre["end"] < crash["start"] or pre["start"] == pre["end"]


@given(st.sampled_from(RATES), st.integers(1, 299), st.integers(1, 30))
def test_at_a_constant_rate_frame_n_is_at_n_minus_one_over_fps(
    fps: Fraction, first: int, length: int
) -> None:
    frames, last = constant(fps), min(300, first + length - 1)
    value = read([ranged(first, last)], frames).said[SPAN].value
    assert value is not None
    assert abs(value["start_us"] - (first - 1) / fps * 1_000_000) <= Fraction(1, 2)
    assert abs(value["end_us"] - last / fps * 1_000_000) <= Fraction(1, 2)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["value", "from_name", "segments", "crash", "ranges", "start", "end", "text", "choices"])
        | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_garbage_is_named_and_never_raises(garbage: object) -> None:
    reading = read(garbage, constant(Fraction(30)))
    assert all(part.code and part.message for part in reading.unread)
    assert not {part.kind for part in reading.unread if part.kind} & reading.said.keys()


@pytest.mark.parametrize(
    ("region", "code"),
    [
        (ranged(20, 10), "range_outside"),
        (ranged(0, 10), "range_outside"),
        (ranged(5, 5000), "range_outside"),
        (ranged(1.5, 10), "range_unreadable"),
        (ranged(float("nan"), 10), "range_unreadable"),
        (ranged("1", 10), "range_unreadable"),
        (ranged(True, 10), "range_unreadable"),
        (ranged(1, 10, "Bang"), "range_label_unknown"),
        (answered("Perhaps"), "choice_unreadable"),
        ({"from_name": "mood", "value": {"text": ["grim"]}}, "region_unknown"),
        ({"from_name": "cause", "value": {"text": ["a\x00b"]}}, "text_unreadable"),
        ({"from_name": "cause", "value": {"text": ["\ud800"]}}, "text_unreadable"),
        ({"from_name": "cause", "value": {"text": [3]}}, "text_unreadable"),
        ({"from_name": "cause"}, "region_unreadable"),
        ("a word", "region_unreadable"),
    ],
)
def test_each_kind_of_garbage_has_its_name_and_spares_the_rest(region: Any, code: str) -> None:
    text = {"from_name": "description", "value": {"text": ["A car hits a wall."]}}
    reading = read([region, text], constant(Fraction(30)))
    assert [part.code for part in reading.unread] == [code]
    assert reading.said[Kind.CRASH_DESCRIPTION] == Said("valued", {"text": "A car hits a wall."})


def test_a_list_is_needed() -> None:
    assert [part.code for part in read({}, constant(Fraction(30))).unread] == ["annotation_unreadable"]


def test_two_crash_ranges_are_not_one_answer() -> None:
    reading = read([ranged(1, 5), ranged(8, 9)], constant(Fraction(30)))
    assert [part.code for part in reading.unread] == ["several_ranges"]
    assert SPAN not in reading.said


def test_one_frame_too_many_is_label_studios_rounding() -> None:
    value = read([ranged(290, 301)], constant(Fraction(30))).said[SPAN].value
    assert value is not None
    assert value["end_us"] == 10_000_000


def test_no_means_the_fixed_sentences_and_no_times() -> None:
    said = read([answered("No")], constant(Fraction(30))).said
    assert said.pop(Kind.CRASH_RECOGNITION) == Said("valued", {"label": "no"})
    assert said.pop(SPAN) == said.pop(ONSET) == Said("absent", None)
    assert said == {kind: Said("valued", {"text": text}) for kind, text in NEGATIVE_TEXT.items()}


def test_a_text_missing_under_yes_stays_missing() -> None:
    said = read(
        [answered("Yes"), {"from_name": "cause", "value": {"text": ["  \n"]}}], constant(Fraction(30))
    ).said
    assert set(said) == {Kind.CRASH_RECOGNITION, SPAN, ONSET}


def test_texts_lose_the_space_around_them() -> None:
    said = read([{"from_name": "cause", "value": {"text": [" Too fast.\n"]}}], constant(Fraction(30))).said
    assert said[Kind.CAUSAL_REASONING] == Said("valued", {"text": "Too fast."})


def test_a_time_beyond_the_clip_is_drawn_at_its_end_and_read_as_drawn() -> None:
    frames = constant(Fraction(30))
    drafts = {
        SPAN: Said("out_of_clip", {"start_us": 9_000_000, "end_us": 12_000_000}),
        ONSET: said_onset(11_000_000),
    }
    regions = shown(frames, **drafts)
    assert regions[1]["value"]["ranges"] == [{"start": 271, "end": 300}]
    said = read(regions, frames, **drafts).said
    assert said[SPAN] == said_span(9_000_000, 10_000_000)
    assert said[ONSET] == said_onset(frames.source_us(299))


def test_a_span_that_ends_before_it_starts_is_read_as_the_frame_that_was_drawn() -> None:
    frames = constant(Fraction(30))
    drafts = {SPAN: said_span(2_000_000, 1_000_000)}
    regions = shown(frames, **drafts)
    assert regions[0]["value"]["ranges"] == [{"start": 61, "end": 61}]
    assert read(regions, frames, **drafts).said[SPAN] == said_span(2_000_000, frames.source_us(61))


def test_drafts_without_a_value_are_not_drawn() -> None:
    drafts = {SPAN: Said("absent", None), Kind.CAUSAL_REASONING: Said("unparsable", None)}
    assert shown(constant(Fraction(30)), **drafts) == []


def test_regions_carry_the_models_confidence() -> None:
    draft: dict[str, Draft] = {
        Kind.CRASH_RECOGNITION: Draft(Said("valued", {"label": "yes"}), confidence=0.87654321)
    }
    (region,) = to_regions(draft, constant(Fraction(30)))
    assert region["score"] == 0.8765
    assert region["value"] == {"choices": ["Yes"]}
