"""Model text to answers and back, with whatever a model might write."""

import json
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat import kinds as k
from model_assist.crashchat.parsing import format_seconds, parse_answer, render_answer, render_target
from tests.shared_data import shared

LONG = 10**9
times = st.integers(min_value=0, max_value=10**12)
spans = st.tuples(times, times).map(sorted)


def read(kind: str, text: str, duration_us: int | None = LONG) -> tuple[str, object]:
    parsed = parse_answer(kind, text, duration_us=duration_us)
    assert (parsed.reason == "") == (parsed.state == "valued")
    return parsed.state, parsed.value


@pytest.mark.parametrize(
    ("text", "label"),
    [("Yes", "yes"), ("No.", "no"), (" yes\n", "yes"), ("'No'", "no"), ("Yes, a van hits a car.", "yes")],
)
def test_recognition_reads_yes_and_no(text: str, label: str) -> None:
    assert read(k.CRASH_RECOGNITION, text) == ("valued", {"label": label})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "maybe",
        "Yes or No",
        "Yes/No",
        "Yes, no",
        "Yesterday",
        "nothing",
        "A crash: yes",
        "2.0 seconds",
        "No. Yes, a van hits a car.",
        "Yes, but really no",
        "\uff39\uff45\uff53",
        "Ye\u0301s",
        "No crash",
        "\u2713",
    ],
)
def test_recognition_never_guesses(text: str) -> None:
    assert read(k.CRASH_RECOGNITION, text) == ("unparsable", None)


@pytest.mark.parametrize(
    "text",
    [
        "1.9 - 4.0 seconds",
        "1.9-4 s",
        "from 1.9 to 4.0 seconds.",
        "1.9 s \u2013 4.0 s",
        "1.900 - 4.0000000 seconds",
        "1.9 - 4.0",
    ],
)
def test_span_spellings(text: str) -> None:
    assert read(k.CRASH_LOCALIZATION, text) == ("valued", {"start_us": 1_900_000, "end_us": 4_000_000})


@pytest.mark.parametrize(
    "text",
    [
        "4.0 - 1.9 seconds",
        "-1.0 - 2.0 seconds",
        "1.0 - 2.0 - 3.0 seconds",
        "1.0 - 2.0 seconds, 3.0 - 4.0 seconds",
        "0:01 - 0:04",
        "1000 - 2000 ms",
        "10 - 20 frames",
        "10 - 20 %",
        "1.0 seconds",
        "soon",
        "3.1.1.1 - 4",
        "1,9 - 4,0 seconds",
        "1:02.5 - 1:04.0",
        "62.5 - 1:04 seconds",
        "+1.0 - 2.0 seconds",
        "\u22121.0 - 2.0 seconds",
        "\u00b11.0 - 2.0 seconds",
        "\u0661.\u0669 - \u0664.\u0660 seconds",
        "\uff11.9 - 4.0 seconds",
        "1.9 - 4.0\u00bd seconds",
        "nan - nan seconds",
        "NaN - 4.0 seconds",
        "inf - 4.0 seconds",
        "not 1.9 - 4.0 seconds",
        "1.9 - 4.0 seconds or later",
        "less than 1.9 - 4.0 seconds",
        "1.9 - 4.0 minutes",
        "one minute 1.9 - 4.0 seconds",
        "1e3 - 2e3",
        "1" * 5000 + " - " + "2" * 5000,
    ],
)
def test_span_refuses_what_it_cannot_be_sure_of(text: str) -> None:
    assert read(k.CRASH_LOCALIZATION, text) == ("unparsable", None)


def test_a_reversed_span_says_so() -> None:
    assert "ends before" in parse_answer(k.CRASH_LOCALIZATION, "4.0 - 1.9 seconds", duration_us=None).reason


def test_a_zero_length_span_is_kept() -> None:
    assert read(k.CRASH_LOCALIZATION, "5.0 - 5.0 seconds") == (
        "valued",
        {"start_us": 5_000_000, "end_us": 5_000_000},
    )


@pytest.mark.parametrize("text", ["1.0 seconds", "1.0", "at 1 s", "1.0 seconds."])
def test_instant_spellings(text: str) -> None:
    assert read(k.PRE_CRASH_LOCALIZATION, text) == ("valued", {"at_us": 1_000_000})


@pytest.mark.parametrize(
    "text",
    [
        "1.0 - 2.0 seconds",
        "-1.0 seconds",
        "- 1.0 seconds",
        "frame 12 of 30",
        "v2 s",
        "1.0 minutes",
        ".5 s",
        "1:02.5",
        "1,0 seconds",
        "1\u00bd seconds",
        "1.0\u00b0",
        "~1.0 seconds",
        "< 1.0 s",
        "1.0e3 seconds",
        "NaN",
        "-inf seconds",
        "\u0661 seconds",
        "frame 12",
        "before 1.0 seconds",
        "at least 1.0 s",
        "1.0 s earlier",
        "1.0 seconds (frame 10)",
        "1/2 s",
        "$1.0",
        "1.0 s/frame",
        "1.0 s \u00b1 0.5 s",
    ],
)
def test_instant_refuses_what_it_cannot_be_sure_of(text: str) -> None:
    assert read(k.PRE_CRASH_LOCALIZATION, text) == ("unparsable", None)


def test_times_after_the_clip_keep_their_value() -> None:
    assert read(k.CRASH_LOCALIZATION, "1.0 - 6.0 seconds", 5_000_000) == (
        "out_of_clip",
        {"start_us": 1_000_000, "end_us": 6_000_000},
    )
    assert read(k.PRE_CRASH_LOCALIZATION, "5.1 seconds", 5_000_000) == ("out_of_clip", {"at_us": 5_100_000})
    assert read(k.PRE_CRASH_LOCALIZATION, "5.0 seconds", 5_000_000) == ("valued", {"at_us": 5_000_000})


@pytest.mark.parametrize(
    "text",
    [
        "no collision.",
        "No accident, no time.",
        "None",
        "There is no crash.",
        "no",
        "No accident, no cause.",
        "There was no traffic accident in this clip.",
        "No crash occurs in the video",
        "no impact happened",
    ],
)
def test_localisation_may_say_that_nothing_happened(text: str) -> None:
    assert read(k.CRASH_LOCALIZATION, text) == ("absent", None)


@pytest.mark.parametrize(
    "text",
    ["No idea.", "No one can tell", "None of the cars stop", "no crash before the turn", "There is no end"],
)
def test_not_knowing_is_not_nothing(text: str) -> None:
    assert read(k.CRASH_LOCALIZATION, text) == ("unparsable", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1:02.5 - 1:04", "clock time"),
        ("1,9 - 4,0 seconds", "comma"),
        ("4.0 - 1.9 seconds", "ends before it starts"),
        ("1000 - 2000 ms", "unknown unit 'ms'"),
        ("at most 1.0 - 2.0 s", "'most' changes"),
        ("1.0 - 2.0 s and 3.0 s", "more numbers"),
        ("soon", "expected 'start - end seconds'"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str) -> None:
    assert reason in parse_answer(k.CRASH_LOCALIZATION, text, duration_us=None).reason


@pytest.mark.parametrize(
    ("kind", "text", "off"),
    [
        (k.CRASH_RECOGNITION, "Yes", False),
        (k.CRASH_RECOGNITION, "yes.", True),
        (k.CRASH_RECOGNITION, "Yes, a van hits a car.", True),
        (k.CRASH_LOCALIZATION, " 1.9 - 4.0 seconds\n", False),
        (k.CRASH_LOCALIZATION, "1.9 - 4.033333 seconds", False),
        (k.CRASH_LOCALIZATION, "1.9-4.0 seconds", True),
        (k.CRASH_LOCALIZATION, "from 1.9 to 4.0 seconds", True),
        (k.CRASH_LOCALIZATION, "01.90 - 4.0 seconds", True),
        (k.CRASH_LOCALIZATION, k.ABSENT_TEXT, False),
        (k.CRASH_LOCALIZATION, "None", True),
        (k.PRE_CRASH_LOCALIZATION, "1.0 seconds", False),
        (k.PRE_CRASH_LOCALIZATION, "1 s", True),
        (k.CRASH_DESCRIPTION, "anything at all", False),
        (k.CRASH_LOCALIZATION, "soon", False),
    ],
)
def test_off_format_is_what_the_training_data_would_write_otherwise(kind: str, text: str, off: bool) -> None:
    assert parse_answer(kind, text, duration_us=None).off_format == off


def test_off_format_and_out_of_clip_are_told_apart() -> None:
    late = parse_answer(k.PRE_CRASH_LOCALIZATION, "at 9 s", duration_us=5_000_000)
    assert (late.state, late.off_format, late.value) == ("out_of_clip", True, {"at_us": 9_000_000})


@pytest.mark.parametrize("kind", k.TEXT_KINDS)
def test_texts_are_kept_as_written(kind: str) -> None:
    assert read(kind, "  Car hits car\n") == ("valued", {"text": "Car hits car"})
    assert read(kind, " \n ") == ("unparsable", None)


@given(kind=st.sampled_from(k.ALL), text=st.text(), duration=st.none() | times)
def test_every_text_has_a_result_of_the_right_shape(kind: str, text: str, duration: int | None) -> None:
    check_shape(kind, text, duration)


@given(
    kind=st.sampled_from(k.PERCEPTION),
    text=st.text(alphabet="0123456789.- secondto:,\u2013\u0663", max_size=40),
    duration=st.none() | times,
)
def test_time_like_texts_have_a_result_of_the_right_shape(kind: str, text: str, duration: int | None) -> None:
    check_shape(kind, text, duration)


numbers = st.decimals(0, 10**9, allow_nan=False, allow_infinity=False, places=3).map(str)
words = st.sampled_from(
    ["", " ", "-", " - ", " to ", "s", " seconds", ".", ",", ":", "not ", "~", "\u2212", "\u0663", "e", "nan", "x",
     "\n", "before ", "the crash ", "1", " from ", "\u00bd", "%", "Yes", "frame "]
)  # fmt: skip


@given(kind=st.sampled_from(k.PERCEPTION), pieces=st.lists(words | numbers, max_size=8))
def test_a_value_is_exactly_the_numbers_of_the_text(kind: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    parsed = parse_answer(kind, text, duration_us=None)
    if parsed.state != "valued":
        return
    assert parsed.value is not None
    written = [Decimal(n) for n in re.findall(r"[0-9]+(?:\.[0-9]+)?", text)]
    assert [int((n * 10**6).to_integral_value("ROUND_HALF_UP")) for n in written] == list(
        parsed.value.values()
    )
    assert not any(c.isnumeric() and c not in "0123456789" for c in text)
    assert not re.search(r"not|before|frame|nan|~|\u2212|:|%", text)


@pytest.mark.parametrize("kind", k.ALL)
@pytest.mark.parametrize("size", [10_000])
@pytest.mark.parametrize(
    "unit", ["1", "1.", "1 - ", "yes ", "no ", " ", "-", "\x00", "\U0001f697", "1:0", "s"]
)
def test_endless_answers_are_read_too(kind: str, size: int, unit: str) -> None:
    check_shape(kind, unit * size, 10**7)


def check_shape(kind: str, text: str, duration: int | None) -> None:
    parsed = parse_answer(kind, text, duration_us=duration)
    if parsed.state in ("absent", "unparsable"):
        assert parsed.value is None
        assert parsed.reason
        return
    assert parsed.value is not None
    written = render_answer(kind, parsed.state, parsed.value)
    assert parse_answer(kind, written, duration_us=duration) == replace(parsed, off_format=False)
    assert kind in k.TEXT_KINDS or parsed.off_format == (written != text.strip())
    if kind == k.CRASH_LOCALIZATION:
        assert 0 <= parsed.value["start_us"] <= parsed.value["end_us"]


@given(spans)
def test_spans_survive_rendering_exactly(span: list[int]) -> None:
    value = {"start_us": span[0], "end_us": span[1]}
    text = render_answer(k.CRASH_LOCALIZATION, "valued", value)
    assert read(k.CRASH_LOCALIZATION, text, None) == ("valued", value)


@given(times)
def test_instants_survive_rendering_exactly(at: int) -> None:
    text = render_answer(k.PRE_CRASH_LOCALIZATION, "valued", {"at_us": at})
    assert read(k.PRE_CRASH_LOCALIZATION, text, None) == ("valued", {"at_us": at})


@given(st.sampled_from(k.TEXT_KINDS), st.text().filter(str.strip).map(str.strip))
def test_texts_survive_rendering(kind: str, text: str) -> None:
    assert read(kind, render_answer(kind, "valued", {"text": text})) == ("valued", {"text": text})


@given(st.integers(min_value=0, max_value=10**7))
def test_whole_tenths_print_one_decimal(tenths: int) -> None:
    assert format_seconds(tenths * 100_000) == f"{tenths // 10}.{tenths % 10}"


def test_rendering_follows_crashchat() -> None:
    assert render_answer(k.CRASH_RECOGNITION, "valued", {"label": "yes"}) == "Yes"
    value = {"start_us": 1_900_000, "end_us": 4_033_333}
    assert render_answer(k.CRASH_LOCALIZATION, "valued", value) == "1.9 - 4.033333 seconds"
    assert render_answer(k.PRE_CRASH_LOCALIZATION, "out_of_clip", {"at_us": 0}) == "0.0 seconds"
    assert read(k.CRASH_LOCALIZATION, render_answer(k.CRASH_LOCALIZATION, "absent", None)) == ("absent", None)


@pytest.mark.parametrize(
    ("kind", "state", "value"),
    [
        (k.CRASH_RECOGNITION, "absent", None),
        (k.CRASH_RECOGNITION, "valued", {"label": "maybe"}),
        (k.CRASH_RECOGNITION, "unparsable", None),
        (k.CRASH_DESCRIPTION, "valued", {"text": " "}),
        (k.CRASH_LOCALIZATION, "valued", {"start_us": 1}),
        (k.CRASH_LOCALIZATION, "valued", {"start_us": -1, "end_us": 1}),
        (k.PRE_CRASH_LOCALIZATION, "valued", {"at_us": 1.5}),
        (k.PRE_CRASH_LOCALIZATION, "valued", None),
        ("weather", "valued", {"text": "rain"}),
    ],
)
def test_rendering_refuses_wrong_shapes(kind: str, state: str, value: dict[str, object] | None) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        render_answer(kind, state, value)


@pytest.mark.parametrize("kind", k.ALL)
def test_published_answers_read_and_render_unchanged(kind: str) -> None:
    short = {"causal_reasoning": "cause_reasoning"}.get(kind, kind)
    path = shared("data", "crashchat", f"crashchat_dada_video_total_{short}_val.json")
    for record in json.loads(path.read_text()):
        text = record["conversations"][1]["value"].strip()
        parsed = parse_answer(kind, text, duration_us=None)
        assert parsed.state == "valued", text
        assert render_answer(kind, parsed.state, parsed.value) == text


def test_training_targets_are_in_tenths() -> None:
    value = {"start_us": 3_033_333, "end_us": 4_566_667}
    assert render_target(k.CRASH_LOCALIZATION, "valued", value) == "3.0 - 4.6 seconds"
    assert render_target(k.PRE_CRASH_LOCALIZATION, "valued", {"at_us": 49_999}) == "0.0 seconds"
    assert render_target(k.CRASH_DESCRIPTION, "valued", {"text": "3.033"}) == "3.033"
    assert render_target(k.CRASH_LOCALIZATION, "absent", None) == k.ABSENT_TEXT


def test_training_targets_at_the_end_of_the_clip_stay_inside() -> None:
    value = {"start_us": 8_960_000, "end_us": 9_980_000}
    assert render_target(k.CRASH_LOCALIZATION, "valued", value, duration_us=9_980_000) == "9.0 - 9.9 seconds"
    assert (
        render_target(k.CRASH_LOCALIZATION, "valued", value, duration_us=10_000_000) == "9.0 - 10.0 seconds"
    )
    assert render_target(k.CRASH_LOCALIZATION, "valued", value) == "9.0 - 10.0 seconds"


@given(st.tuples(times, times, times).map(sorted))
def test_training_targets_of_values_inside_the_clip_lie_inside_it(ordered: list[int]) -> None:
    start, end, duration = ordered
    values = {
        k.CRASH_LOCALIZATION: {"start_us": start, "end_us": end},
        k.PRE_CRASH_LOCALIZATION: {"at_us": end},
    }
    for kind, value in values.items():
        text = render_target(kind, "valued", value, duration_us=duration)
        assert read(kind, text, duration)[0] == "valued"


@given(spans)
def test_training_targets_stay_ordered(span: list[int]) -> None:
    text = render_target(k.CRASH_LOCALIZATION, "valued", {"start_us": span[0], "end_us": span[1]})
    assert read(k.CRASH_LOCALIZATION, text, None)[0] == "valued"
