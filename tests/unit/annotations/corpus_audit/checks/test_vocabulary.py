import random

from annotations.corpus_audit.checks.vocabulary import check, vocabulary
from tests.unit.annotations.corpus_audit.made import by_key, columns


def told(causes: list[str], preventions: list[str]) -> list[dict[str, str]]:
    return [
        {"crash_recognition": "yes", "causal_reasoning": cause, "prevention_reasoning": prevention}
        for cause, prevention in zip(causes, preventions, strict=True)
    ]


def test_words_from_a_list_are_named_with_what_the_commonest_cover() -> None:
    causes = [f"Cause {number % 4}." for number in range(80)]
    calm = [{"crash_recognition": "no", "causal_reasoning": "No accident, no cause."}] * 20
    made = columns([{"crash_recognition": "yes", "causal_reasoning": cause} for cause in causes] + calm)
    (finding,) = check(made)
    assert (finding.code, finding.severity, finding.count, finding.total) == (
        "closed_vocabulary",
        "warning",
        80,
        80,
    )
    found = vocabulary(made, made.texts[1])
    assert (found["clips"], found["distinct"], found["crash_clips"], found["crash_distinct"]) == (
        100,
        5,
        80,
        4,
    )
    assert found["top"] == [[1, 20], [2, 40], [5, 80]]
    assert found["curve"] == [[1, 20], [2, 40], [3, 60], [4, 80]]
    assert found["entropy_bits"] == 2.0
    assert found["commonest"][0] == ["Cause 0.", 20]


def test_free_words_are_not_named() -> None:
    made = columns(
        [{"crash_recognition": "yes", "causal_reasoning": f"Words {number}."} for number in range(80)]
    )
    assert list(check(made)) == []


def test_a_cause_that_gives_the_prevention_away() -> None:
    causes = [f"Cause {number % 8}." for number in range(160)]
    preventions = [f"Do {number % 8}." for number in range(160)]
    preventions[5] = "Something else."
    found = by_key(check(columns(told(causes, preventions))))
    finding = found["text_gives_text_away", "prevention_reasoning from causal_reasoning"]
    assert (finding.severity, finding.count, finding.total) == ("warning", 159, 160)
    assert 0.9 < finding.data["there"]["held_out"] < 1
    assert [example.value for example in finding.examples] == ["Something else."]


def test_rules_that_only_fit_in_sample_are_not_believed() -> None:
    draw = random.Random(3)
    causes = [f"Cause {number}." for number in range(60) for _ in range(2)]
    preventions = [f"Do {draw.randrange(30)}." for _ in causes]
    found = by_key(check(columns(told(causes, preventions))))
    assert not [key for key in found if key[0] == "text_gives_text_away"]
