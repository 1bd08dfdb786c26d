from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.corpora.importers.frames import (
    MAX_FRAMES,
    Facts,
    parsed_fps,
    positive_runs,
    span_answer,
    whole,
    whole_text,
)
from annotations.corpora.importers.rows import BadField
from annotations.corpora.media.timemap import frame_time_us

RATES = st.fractions(min_value=Fraction(1, 10), max_value=1000, max_denominator=1001)


@given(st.integers(0, MAX_FRAMES), RATES)
def test_a_frame_is_within_half_a_microsecond_of_its_time(frame: int, fps: Fraction) -> None:
    assert abs(Fraction(frame_time_us(frame, fps), 1_000_000) - frame / fps) <= Fraction(1, 2_000_000)


@given(
    st.integers(0, MAX_FRAMES), st.sampled_from([Fraction(10), Fraction(25), Fraction(50), Fraction(25, 2)])
)
def test_a_rate_that_divides_a_million_is_exact(frame: int, fps: Fraction) -> None:
    assert Fraction(frame_time_us(frame, fps), 1_000_000) == frame / fps


@given(st.integers(0, MAX_FRAMES - 1), RATES)
def test_frames_keep_their_order(frame: int, fps: Fraction) -> None:
    assert frame_time_us(frame, fps) < frame_time_us(frame + 1, fps)


@given(st.lists(st.integers(0, 1)))
def test_runs_are_the_frames_labelled_1(labels: list[int]) -> None:
    runs = positive_runs(labels)
    assert [frame for start, end in runs for frame in range(start, end)] == [
        frame for frame, label in enumerate(labels) if label
    ]
    assert all(end < following for (_, end), (following, _) in pairwise(runs))


@pytest.mark.parametrize(
    ("value", "fps"),
    [(None, None), ("", None), (25, Fraction(25)), ("29.97", Fraction(2997, 100)), (12.5, Fraction(25, 2)),
     ("30000/1001", Fraction(30000, 1001))],
)  # fmt: skip
def test_a_rate_is_a_number_or_a_fraction(value: Any, fps: Fraction | None) -> None:
    assert parsed_fps(value) == fps


@pytest.mark.parametrize(
    "value", [True, 0, -1, "x", "1/0", "nan", float("inf"), 1001, [], "9" * 30, "1e999999999", "25/0", "1e-9"]
)
def test_what_is_no_rate(value: Any) -> None:
    with pytest.raises(BadField) as caught:
        parsed_fps(value)
    assert caught.value.field == "options.fps"


@pytest.mark.parametrize("value", [None, True, 1.0, "1", -1, MAX_FRAMES + 1])
def test_what_is_no_number_of_frames(value: Any) -> None:
    with pytest.raises(BadField):
        whole(value, "f")


@pytest.mark.parametrize("value", [None, 1, "", "-1", "1.0", "٣", "²", "9" * 10, "1 "])
def test_what_is_no_written_number_of_frames(value: Any) -> None:
    with pytest.raises(BadField):
        whole_text(value, "f")


@given(st.integers(0, MAX_FRAMES))
def test_numbers_of_frames(number: int) -> None:
    assert whole(number, "f") == whole_text(str(number), "f") == whole_text(f"{number:09}", "f") == number


def test_a_span_ends_before_the_first_frame_after_it() -> None:
    answer = span_answer(3, 5, Fraction(10), "frames 3 to 4")
    assert (answer.kind, answer.value) == ("crash_localization", {"start_us": 300_000, "end_us": 500_000})


def test_facts_say_only_what_is_known() -> None:
    assert Facts().metadata() == {}
    assert Facts(frames=10).metadata() == {"declared": {"frames": 10}}
    facts = Facts(frames=10, fps=Fraction(25, 2))
    facts.span(2, 10, fields=("a", "b"), frames_field="n")
    assert facts.metadata() == {
        "declared": {"frames": 10, "fps": [25, 2], "duration_us": 800_000, "start_frame": 2, "end_frame": 10}
    }


def test_facts_name_every_contradiction() -> None:
    facts = Facts(frames=10)
    facts.expect(True, ["x"], "never said")
    facts.span(12, 12, fields=("a", "b"), frames_field="n")
    assert [item["fields"] for item in facts.metadata()["inconsistent"]] == [["a", "b"], ["b", "n"]]
