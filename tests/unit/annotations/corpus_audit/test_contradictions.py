from typing import Any

import pytest

from annotations.corpus_audit.contradictions import check
from tests.unit.annotations.corpus_audit.made import ONSET, SPAN, by_key, columns

CRASH = {
    "crash_recognition": "yes", "crash_description": "car hits car.", "causal_reasoning": "Speed.",
    "prevention_reasoning": "Slow down.", SPAN: (2_000_000, 3_000_000), ONSET: 1_000_000, "duration_us": 5_000_000,
}  # fmt: skip


def test_sound_answers_contradict_nothing() -> None:
    calm = {
        "crash_recognition": "no", "crash_description": "no collision.", "causal_reasoning": "No accident, no cause.",
        "prevention_reasoning": "No accident, no prevention needed.", SPAN: "absent", ONSET: "absent",
    }  # fmt: skip
    assert list(check(columns([CRASH, calm, {}]))) == []


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({SPAN: (3_000_000, 3_000_000)}, "span_zero_length", "warning"),
        ({SPAN: (3_000_000, 2_000_000)}, "span_reversed", "error"),
        ({SPAN: (2_000_000, 6_000_000)}, "span_beyond_clip", "error"),
        ({ONSET: 2_500_000}, "onset_after_start", "error"),
        ({SPAN: "absent"}, "crash_without_time", "error"),
        ({"causal_reasoning": "No accident, no cause."}, "crash_with_negative_text", "error"),
    ],
)
def test_each_broken_rule_is_a_finding(change: dict[str, Any], code: str, severity: str) -> None:
    (finding,) = check(columns([CRASH, {**CRASH, **change}, CRASH]))
    assert (finding.code, finding.severity, finding.count) == (code, severity, 1)
    assert [example.name for example in finding.examples] == ["clip 00002"]
    assert finding.rows is not None
    assert finding.rows.tolist() == [1]


def test_a_span_is_held_against_the_declared_length_where_there_is_no_clip() -> None:
    beyond = {**CRASH, "duration_us": None, "declared_duration_us": 2_500_000}
    (finding,) = check(columns([beyond]))
    assert finding.code == "span_beyond_clip"
    assert finding.data == {"median_us": 500_000, "most_us": 500_000}
    assert finding.examples[0].value == "crash, span 2 s to 3 s, onset 1 s, clip 2.5 s"


def test_times_without_a_crash_and_texts_too() -> None:
    found = by_key(check(columns([{**CRASH, "crash_recognition": "no"}])))
    assert {code for code, _ in found} == {"time_without_crash", "text_without_crash"}
    assert len(found) == 5
