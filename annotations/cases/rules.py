"""The rules that tie the six answers together. Broken rules are named findings; nothing is repaired."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annotations.cases.kinds import NEGATIVE_TEXT, TEXT_KINDS, TIME_KINDS, AnswerState, Kind


@dataclass(frozen=True)
class Said:
    """What an answer says, free of where it is stored. Times in the value are microseconds."""

    state: str
    value: dict[str, Any] | None


@dataclass(frozen=True)
class RuleFinding:
    """A broken rule: a stable code, the kinds it concerns, one sentence. `blocks` approval or only warns."""

    code: str
    kinds: tuple[str, ...]
    message: str
    blocks: bool = True


def check(answers: Mapping[str, Said], *, duration_us: int | None) -> list[RuleFinding]:
    """Every broken rule among one case's answers. `duration_us` None: the clip's length is unknown.

    Rules: `no` means no spans and the fixed negative texts; `yes` means a span, an onset and real texts;
    0 <= onset <= start <= end <= duration. A span of no length is named but does not block.
    """
    findings = [
        RuleFinding("missing_answer", (kind,), f"{kind} has no answer")
        for kind in Kind.values
        if kind not in answers
    ]
    findings += [
        RuleFinding("unparsable_answer", (kind,), f"{kind}: the text is no answer")
        for kind, said in answers.items()
        if said.state == AnswerState.UNPARSABLE
    ]
    recognition = answers.get(Kind.CRASH_RECOGNITION)
    if recognition is not None and recognition.value is not None:
        if recognition.value["label"] == "no":
            findings += _no_crash(answers)
        else:
            findings += _crash(answers)
    return findings + _times(answers, duration_us)


def _no_crash(answers: Mapping[str, Said]) -> list[RuleFinding]:
    findings = []
    for kind in TIME_KINDS:
        said = answers.get(kind)
        if said is not None and said.value is not None:
            findings.append(
                RuleFinding(
                    "time_without_crash", (Kind.CRASH_RECOGNITION, kind), f"no crash, yet {kind} gives a time"
                )
            )
    for kind in TEXT_KINDS:
        said = answers.get(kind)
        if said is not None and said.value is not None and said.value["text"].strip() != NEGATIVE_TEXT[kind]:
            message = f'no crash, so {kind} must read "{NEGATIVE_TEXT[kind]}"'
            findings.append(RuleFinding("text_without_crash", (Kind.CRASH_RECOGNITION, kind), message))
    return findings


def _crash(answers: Mapping[str, Said]) -> list[RuleFinding]:
    findings = []
    for kind in TIME_KINDS:
        said = answers.get(kind)
        if said is not None and said.state == AnswerState.ABSENT:
            findings.append(
                RuleFinding(
                    "crash_without_time", (Kind.CRASH_RECOGNITION, kind), f"a crash, yet {kind} is absent"
                )
            )
    for kind in TEXT_KINDS:
        said = answers.get(kind)
        if said is not None and said.value is not None and said.value["text"].strip() == NEGATIVE_TEXT[kind]:
            message = f"a crash, yet {kind} says there is none"
            findings.append(RuleFinding("crash_with_negative_text", (Kind.CRASH_RECOGNITION, kind), message))
    return findings


def _times(answers: Mapping[str, Said], duration_us: int | None) -> list[RuleFinding]:
    findings = []
    span, onset = answers.get(Kind.CRASH_LOCALIZATION), answers.get(Kind.PRE_CRASH_LOCALIZATION)
    if span is not None and span.value is not None:
        start, end = span.value["start_us"], span.value["end_us"]
        if end < start:
            findings.append(
                RuleFinding("span_reversed", (Kind.CRASH_LOCALIZATION,), "the span ends before it starts")
            )
        if end == start:
            findings.append(
                RuleFinding(
                    "span_zero_length", (Kind.CRASH_LOCALIZATION,), "the span has no length", blocks=False
                )
            )
        if duration_us is not None and end > duration_us:
            findings.append(
                RuleFinding("span_beyond_clip", (Kind.CRASH_LOCALIZATION,), "the span ends after the clip")
            )
    if onset is not None and onset.value is not None:
        at = onset.value["at_us"]
        if duration_us is not None and at > duration_us:
            findings.append(
                RuleFinding(
                    "onset_beyond_clip", (Kind.PRE_CRASH_LOCALIZATION,), "the onset lies after the clip"
                )
            )
        if span is not None and span.value is not None and at > span.value["start_us"]:
            message = "the first cue comes after the crash has begun"
            findings.append(
                RuleFinding(
                    "onset_after_start", (Kind.PRE_CRASH_LOCALIZATION, Kind.CRASH_LOCALIZATION), message
                )
            )
    return findings
