import pytest

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from model_assist.auto_approval.errors import (
    RULES_OF,
    USUAL,
    ErrorRule,
    is_wrong,
    problem_of,
    rules_of,
    wrong_kinds,
)
from tests.factories import CRASH, NO_CRASH


def span(start: int, end: int) -> Said:
    return Said("valued", {"start_us": start, "end_us": end})


def at(us: int) -> Said:
    return Said("valued", {"at_us": us})


def text(words: str) -> Said:
    return Said("valued", {"text": words})


ABSENT, UNREAD = Said("absent", None), Said("unparsable", None)


@pytest.mark.parametrize(
    ("rule", "said", "true", "wrong"),
    [
        (ErrorRule("tiou_below", 0.5), span(0, 2_000_000), span(1_000_000, 2_000_000), False),  # exactly one half
        (ErrorRule("tiou_below", 0.5), span(0, 2_000_001), span(1_000_000, 2_000_000), True),
        (ErrorRule("tiou_below", 0.5), span(5, 5), span(5, 5), False),
        (ErrorRule("tiou_below", 0.1), span(5, 5), span(6, 6), True),
        (ErrorRule("tiou_below", 0.0), span(0, 1), span(5, 6), False),
        (ErrorRule("further_than_seconds", 0.5), at(1_000_000), at(1_500_000), False),
        (ErrorRule("further_than_seconds", 0.5), at(1_500_001), at(1_000_000), True),
        (ErrorRule("token_f1_below", 0.8), text("Car hits a truck"), text("car hits a truck."), False),
        (ErrorRule("token_f1_below", 0.8), text("car hits a truck"), text("bus hits a van"), True),
        (ErrorRule("edits_above", 0.25), text("car hits a truck"), text("car hits a van"), False),
        (ErrorRule("edits_above", 0.24), text("car hits a truck"), text("car hits a van"), True),
        (ErrorRule("differs"), text("Car hits."), text("car  hits"), False),
        (ErrorRule("differs"), Said("valued", {"label": "yes"}), Said("valued", {"label": "no"}), True),
        (ErrorRule("tiou_below", 0.5), ABSENT, ABSENT, False),
        (ErrorRule("tiou_below", 0.5), ABSENT, span(0, 1), True),
        (ErrorRule("tiou_below", 0.5), span(0, 1), ABSENT, True),
        (ErrorRule("differs"), UNREAD, UNREAD, True),
    ],
)  # fmt: skip
def test_a_limit_met_exactly_is_met(rule: ErrorRule, said: Said, true: Said, wrong: bool) -> None:
    assert is_wrong(rule, said=said, true=true) is wrong


def test_the_usual_rules_are_rules_and_find_the_kinds_that_are_wrong() -> None:
    rules = rules_of(USUAL)
    assert set(rules) == set(Kind.values) == set(RULES_OF)
    assert wrong_kinds(rules, said=CRASH, true=CRASH) == []
    assert wrong_kinds(rules, said=CRASH, true=NO_CRASH) == list(Kind.values)
    moved = {**CRASH, Kind.PRE_CRASH_LOCALIZATION: at(0)}
    assert wrong_kinds(rules, said=CRASH, true=moved) == [Kind.PRE_CRASH_LOCALIZATION]
    less = {kind: said for kind, said in CRASH.items() if kind != Kind.CAUSAL_REASONING}
    assert wrong_kinds(rules, said=less, true=CRASH) == [Kind.CAUSAL_REASONING]


def test_kinds_that_are_not_judged_cannot_be_wrong() -> None:
    rules = rules_of({Kind.CRASH_RECOGNITION: {"rule": "differs"}})
    assert wrong_kinds(rules, said={**CRASH, Kind.CRASH_LOCALIZATION: span(0, 1)}, true=CRASH) == []


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("weather", {"rule": "differs"}),
        (Kind.CRASH_RECOGNITION, {"rule": "tiou_below", "value": 0.5}),
        (Kind.CRASH_RECOGNITION, {"rule": "differs", "value": 1}),
        (Kind.CRASH_LOCALIZATION, {"rule": "tiou_below"}),
        (Kind.CRASH_LOCALIZATION, {"rule": "tiou_below", "value": 1.5}),
        (Kind.CRASH_LOCALIZATION, {"rule": "tiou_below", "value": True}),
        (Kind.PRE_CRASH_LOCALIZATION, {"rule": "further_than_seconds", "value": -1}),
        (Kind.CAUSAL_REASONING, "differs"),
    ],
)
def test_what_is_no_rule_is_said_to_be_none(kind: str, given: object) -> None:
    assert problem_of(kind, given)
    with pytest.raises(ValueError, match=kind):
        rules_of({kind: given})  # type: ignore[dict-item]


def test_a_rule_is_told_in_words() -> None:
    told = {kind: rule.words for kind, rule in rules_of(USUAL).items()}
    assert told[Kind.CRASH_LOCALIZATION] == "overlaps (tIoU) less than 0.5"
    assert told[Kind.PRE_CRASH_LOCALIZATION] == "is more than 0.5 s away"
