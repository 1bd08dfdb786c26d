"""What counts as an error: when a model's answer is not what people say. A lead states it per kind, in these rules.

{"crash_localization": {"rule": "tiou_below", "value": 0.5}} and so on. Which rule fits which kind: RULES_OF.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from annotations.cases.kinds import TEXT_KINDS, AnswerState, Kind
from annotations.cases.rules import Said
from annotations.statistics.texts import normalised_edit_distance, token_f1, words_of

DIFFERS: Final = "differs"
TIOU_BELOW: Final = "tiou_below"
FURTHER_THAN: Final = "further_than_seconds"
TOKEN_F1_BELOW: Final = "token_f1_below"
EDITS_ABOVE: Final = "edits_above"

RULES_OF: Final[dict[str, tuple[str, ...]]] = {
    Kind.CRASH_RECOGNITION: (DIFFERS,),
    Kind.CRASH_LOCALIZATION: (TIOU_BELOW,),
    Kind.PRE_CRASH_LOCALIZATION: (FURTHER_THAN,),
    **{kind: (TOKEN_F1_BELOW, EDITS_ABOVE, DIFFERS) for kind in TEXT_KINDS},
}
HIGHEST: Final[dict[str, float]] = {
    TIOU_BELOW: 1.0,
    FURTHER_THAN: 3600.0,
    TOKEN_F1_BELOW: 1.0,
    EDITS_ABOVE: 1.0,
}
"""The values a rule takes reach from 0 to this; DIFFERS takes none."""

USUAL: Final[dict[str, dict[str, Any]]] = {
    Kind.CRASH_RECOGNITION: {"rule": DIFFERS},
    Kind.CRASH_DESCRIPTION: {"rule": TOKEN_F1_BELOW, "value": 0.8},
    Kind.CAUSAL_REASONING: {"rule": TOKEN_F1_BELOW, "value": 0.8},
    Kind.PREVENTION_REASONING: {"rule": TOKEN_F1_BELOW, "value": 0.8},
    Kind.CRASH_LOCALIZATION: {"rule": TIOU_BELOW, "value": 0.5},
    Kind.PRE_CRASH_LOCALIZATION: {"rule": FURTHER_THAN, "value": 0.5},
}

_WORDS: Final = {
    DIFFERS: "differs",
    TIOU_BELOW: "overlaps (tIoU) less than {value:g}",
    FURTHER_THAN: "is more than {value:g} s away",
    TOKEN_F1_BELOW: "shares words (token F1) below {value:g}",
    EDITS_ABOVE: "has more than {value:g} of its words edited",
}
_MILLION: Final = 1_000_000


@dataclass(frozen=True)
class ErrorRule:
    """One kind's rule. value: a share from 0 to 1, or seconds; 0 for DIFFERS."""

    rule: str
    value: float = 0.0

    @property
    def words(self) -> str:
        """The rule as the end of a sentence: "wrong where it ..."."""
        return _WORDS[self.rule].format(value=self.value)


def problem_of(kind: str, given: Any) -> str:
    """Why this is no rule for the kind; empty where it is one."""
    if kind not in RULES_OF:
        return f"unknown kind {kind!r}"
    if not isinstance(given, Mapping) or given.get("rule") not in RULES_OF[kind]:
        return f'needs {{"rule": one of {", ".join(RULES_OF[kind])}}}'
    highest = HIGHEST.get(given["rule"])
    wanted = {"rule"} if highest is None else {"rule", "value"}
    if set(given) != wanted:
        return f"{given['rule']} takes exactly {', '.join(sorted(wanted))}"
    if highest is not None:
        value = given["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
            return f"the value of {given['rule']} lies from 0 to {highest:g}"
    return ""


def rules_of(stored: Mapping[str, Mapping[str, Any]]) -> dict[str, ErrorRule]:
    """Stored rules, ready to be used. Raises ValueError for one that is none."""
    for kind, given in stored.items():
        if problem := problem_of(kind, given):
            raise ValueError(f"{kind}: {problem}")
    return {kind: ErrorRule(given["rule"], float(given.get("value", 0.0))) for kind, given in stored.items()}


def is_wrong(rule: ErrorRule, *, said: Said, true: Said) -> bool:
    """Whether what the model said is an error, given what people say.

    An answer that was not read is wrong; one that is absent is right only where people say absent too.
    """
    if said.value is None or true.value is None:
        return not said.state == true.state == AnswerState.ABSENT
    if rule.rule == DIFFERS:
        return _plain(said.value) != _plain(true.value)
    if rule.rule == TIOU_BELOW:
        return _overlap_below(said.value, true.value, rule.value)
    if rule.rule == FURTHER_THAN:
        return abs(int(said.value["at_us"]) - int(true.value["at_us"])) > round(rule.value * _MILLION)
    ours, theirs = words_of(said.value["text"]), words_of(true.value["text"])
    if rule.rule == TOKEN_F1_BELOW:
        return token_f1(ours, theirs) < rule.value
    return normalised_edit_distance(ours, theirs) > rule.value


def wrong_kinds(
    rules: Mapping[str, ErrorRule], *, said: Mapping[str, Said], true: Mapping[str, Said]
) -> list[str]:
    """The judged kinds in which the model erred, in the questions' order. One that is missing on a side is wrong."""
    return [
        kind
        for kind in Kind.values
        if kind in rules
        and (kind not in said or kind not in true or is_wrong(rules[kind], said=said[kind], true=true[kind]))
    ]


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: words_of(part) if isinstance(part, str) else part for name, part in value.items()}


def _overlap_below(said: Mapping[str, Any], true: Mapping[str, Any], least: float) -> bool:
    """In whole microseconds and millionths, so that a limit met exactly is met. Equal spans overlap fully."""
    a, b = (said["start_us"], said["end_us"]), (true["start_us"], true["end_us"])
    if a == b:
        return False
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    joined = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return bool(shared * _MILLION < round(least * _MILLION) * joined) if joined > 0 else least > 0
