import random
from typing import Any

import pytest

from annotations.corpus_audit.checks.confounding import check
from tests.unit.annotations.corpus_audit.made import by_key, columns

RECOGNITION = "crash_recognition"


def clips(labels: dict[str, tuple[int, int]], **more: Any) -> list[dict[str, Any]]:
    """source -> (clips that say yes, clips that say no)."""
    return [
        {"source": source, RECOGNITION: said, **more}
        for source, counts in labels.items()
        for said, count in zip(("yes", "no"), counts, strict=True)
        for _ in range(count)
    ]


def test_a_source_that_answers_is_an_error() -> None:
    found = by_key(check(columns(clips({"A": (60, 0), "B": (0, 40)}))))
    (finding,) = found.values()
    assert finding.key == ("source_answers", RECOGNITION)
    assert finding.severity == "error"
    assert (finding.count, finding.total) == (100, 100)
    assert finding.sentence.startswith("Crash recognition can be answered from the source alone")
    assert finding.data["v"] > 0.97
    assert finding.data["information"] == finding.data["entropy"] > 0.97
    assert finding.data["table"] == [{"value": "A", "no": 0, "yes": 60}, {"value": "B", "no": 40, "yes": 0}]


def test_nearly_answers_is_an_error_and_strongly_a_warning() -> None:
    nearly = by_key(check(columns(clips({"A": (300, 2), "B": (3, 200)}))))
    assert nearly["source_answers", RECOGNITION].severity == "error"
    strongly = by_key(check(columns(clips({"A": (80, 20), "B": (20, 80)}))))
    assert strongly["source_answers", RECOGNITION].severity == "warning"
    somewhat = by_key(check(columns(clips({"A": (70, 30), "B": (38, 62)}))))
    assert somewhat["source_answers", RECOGNITION].severity == "info"


@pytest.mark.parametrize(
    "labels",
    [
        {"A": (50, 50), "B": (20, 20)},  # independent
        {"A": (100, 100)},  # one source
        {"A": (100, 0), "B": (50, 0)},  # one answer
        {"A": (10, 0), "B": (0, 10)},  # too few to say
    ],
)
def test_nothing_is_said_where_nothing_is_told(labels: dict[str, tuple[int, int]]) -> None:
    assert list(check(columns(clips(labels)))) == []


def test_many_small_sources_are_not_taken_for_answers() -> None:
    draw = random.Random(1)
    made = [{"source": f"s{number // 2}", RECOGNITION: draw.choice(["yes", "no"])} for number in range(200)]
    assert list(check(columns(made))) == []


def test_other_traits_give_answers_away_too() -> None:
    wide = clips({"A": (40, 0)}, width=1920, height=1080, rate=(30, 1), duration_us=5_000_000)
    small = clips({"A": (0, 40)}, width=640, height=360, rate=(25, 1), duration_us=9_000_000)
    found = by_key(check(columns(wide + small)))
    assert {subject for _, subject in found} == {
        f"{RECOGNITION} from {trait}" for trait in ("picture size", "frame rate", "clip length")
    }
    assert {finding.severity for finding in found.values()} == {"error"}


def test_texts_are_judged_among_crash_clips_only() -> None:
    calm = [{"source": "B", RECOGNITION: "no", "causal_reasoning": "No accident, no cause."}] * 50
    crash = [
        {"source": "A", RECOGNITION: "yes", "causal_reasoning": ("Speed.", "Rain.")[number % 2]}
        for number in range(50)
    ]
    assert set(by_key(check(columns(calm + crash)))) == {("source_answers", RECOGNITION)}


def test_excluded_cases_do_not_count() -> None:
    made = clips({"A": (60, 0), "B": (0, 40)}, excluded=True)
    assert list(check(columns(made))) == []
