from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import NEGATIVE_TEXT, TEXT_KINDS, Kind
from annotations.cases.rules import Said, check
from tests.factories import CRASH, NO_CRASH

DURATION = 5_000_000


def codes(
    changes: dict[str, Said | None], *, base: Any = CRASH, duration_us: int | None = DURATION
) -> set[str]:
    answers = {kind: said for kind, said in {**base, **changes}.items() if said is not None}
    return {finding.code for finding in check(answers, duration_us=duration_us)}


def span(start: int, end: int) -> Said:
    return Said("valued", {"start_us": start, "end_us": end})


def onset(at: int) -> Said:
    return Said("valued", {"at_us": at})


@pytest.mark.parametrize("answers", [CRASH, NO_CRASH])
def test_consistent_answers_break_no_rule(answers: Any) -> None:
    assert check(answers, duration_us=DURATION) == []


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("base", [CRASH, NO_CRASH])
def test_each_missing_answer_is_named(base: Any, kind: Kind) -> None:
    findings = check({k: said for k, said in base.items() if k != kind}, duration_us=DURATION)
    assert [(f.code, f.kinds) for f in findings] == [("missing_answer", (kind,))]


@pytest.mark.parametrize("kind", list(Kind))
def test_each_unparsable_answer_is_named(kind: Kind) -> None:
    assert codes({kind: Said("unparsable", None)}) == {"unparsable_answer"}


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_texts_must_agree_with_the_recognition(kind: Kind) -> None:
    assert codes({kind: Said("valued", {"text": "A car."})}, base=NO_CRASH) == {"text_without_crash"}
    assert codes({kind: Said("valued", {"text": NEGATIVE_TEXT[kind] + " "})}) == {"crash_with_negative_text"}


def test_times_must_agree_with_the_recognition() -> None:
    absent = Said("absent", None)
    assert codes({Kind.CRASH_LOCALIZATION: absent}) == {"crash_without_time"}
    assert codes({Kind.PRE_CRASH_LOCALIZATION: absent}) == {"crash_without_time"}
    assert codes({Kind.CRASH_LOCALIZATION: span(1, 2)}, base=NO_CRASH) == {"time_without_crash"}
    assert codes({Kind.PRE_CRASH_LOCALIZATION: onset(1)}, base=NO_CRASH) == {"time_without_crash"}


@given(st.integers(0, 2 * DURATION), st.integers(0, 2 * DURATION), st.integers(0, 2 * DURATION))
def test_times_must_lie_in_order_inside_the_clip(at: int, start: int, end: int) -> None:
    broken = {
        "span_reversed": end < start,
        "span_zero_length": end == start,
        "span_beyond_clip": end > DURATION,
        "onset_beyond_clip": at > DURATION,
        "onset_after_start": at > start,
    }
    found = codes({Kind.CRASH_LOCALIZATION: span(start, end), Kind.PRE_CRASH_LOCALIZATION: onset(at)})
    assert found == {code for code, is_broken in broken.items() if is_broken}


def test_the_very_edges_of_the_clip_are_inside_it() -> None:
    assert codes({Kind.CRASH_LOCALIZATION: span(0, DURATION), Kind.PRE_CRASH_LOCALIZATION: onset(0)}) == set()


def test_a_clip_of_unknown_length_is_not_judged_by_it() -> None:
    assert codes({Kind.CRASH_LOCALIZATION: span(3_000_000, 10**12)}, duration_us=None) == set()


def test_only_a_span_of_no_length_lets_the_case_pass() -> None:
    (finding,) = check({**CRASH, Kind.CRASH_LOCALIZATION: span(2_000_000, 2_000_000)}, duration_us=DURATION)
    assert (finding.code, finding.blocks) == ("span_zero_length", False)
    (other,) = check({**CRASH, Kind.CRASH_LOCALIZATION: span(2_000_000, 1_900_000)}, duration_us=DURATION)
    assert (other.code, other.blocks) == ("span_reversed", True)
