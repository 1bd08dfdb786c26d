import random
from typing import Any

from annotations.corpus_audit.checks.defaults import check
from tests.unit.annotations.corpus_audit.made import ONSET, SPAN, by_key, columns

TENTH = 100_000


def spread(count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Crash clips whose times are spread evenly over tenths of a second."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        start = draw.randint(40, 90)
        made.append(
            {
                "source": draw.choice("AB"),
                "crash_recognition": "yes",
                SPAN: (start * TENTH, (start + draw.randint(5, 40)) * TENTH),
                ONSET: (start - draw.randint(1, 39)) * TENTH,
            }
        )
    return made


def test_times_spread_evenly_are_no_defaults() -> None:
    assert list(check(columns(spread(1000)))) == []


def test_a_default_gap_is_found_with_its_clips_and_sources() -> None:
    made = spread(1000)
    for clip in made[:300]:
        clip[ONSET] = clip[SPAN][0] - 15 * TENTH
        clip["source"] = "A"
    by_chance = sum(clip[SPAN][0] - clip[ONSET] == 15 * TENTH for clip in made[300:])
    found = by_key(check(columns(made)))
    (finding,) = found.values()
    assert finding.key == ("default_value", "onset gap 1.5 s")
    assert finding.severity == "warning"
    assert (finding.count, finding.total) == (300 + by_chance, 1000)
    assert finding.rows is not None
    assert len(finding.rows) == finding.count
    assert finding.data["p"] < 1e-9
    assert finding.data["step"] == TENTH
    assert finding.data["by_source"][0]["source"] == "A"
    assert [1_500_000, finding.count] in finding.data["values"]


def test_a_small_default_is_worth_knowing_only() -> None:
    made = spread(1000)
    for clip in made[:60]:
        start = clip[SPAN][0]
        clip[SPAN] = (start, start + 22 * TENTH)
    assert by_key(check(columns(made)))["default_value", "span length 2.2 s"].severity == "info"


def test_a_value_that_never_varies_is_a_default() -> None:
    made = [{"crash_recognition": "yes", ONSET: 1_500_000} for _ in range(40)]
    (finding,) = check(columns(made))
    assert (finding.subject, finding.count, finding.total) == ("onset 1.5 s", 40, 40)
    assert finding.sentence == (
        "The onset is 1.5 s for 40 of 40 clips (100 %), and never else: more like a default than an observation."
    )


def test_the_end_of_the_clip_as_the_end_of_the_span() -> None:
    made = spread(500)
    draw = random.Random(2)
    for number, clip in enumerate(made):
        rest = 0 if number < 200 else draw.randint(1, 50) * TENTH
        clip["duration_us"] = clip[SPAN][1] + rest
    found = by_key(check(columns(made)))
    assert found["default_value", "time after the span 0 s"].count == 200


def test_a_text_that_crowds_out_the_others() -> None:
    words = ["Speed."] * 60 + [f"Cause {number}." for number in range(40)]
    made = [{"crash_recognition": "yes", "causal_reasoning": text} for text in words]
    (finding,) = check(columns(made))
    assert finding.key == ("default_text", "causal_reasoning")
    assert (finding.count, finding.total, finding.data["text"]) == (60, 100, "Speed.")


def test_texts_as_uneven_as_zipf_has_them_are_no_defaults() -> None:
    words = [f"Cause {rank}." for rank in range(1, 40) for _ in range(240 // rank)]
    made = [{"crash_recognition": "yes", "causal_reasoning": text} for text in words]
    assert list(check(columns(made))) == []
