"""The six QA tasks and the shape of each answer's value. Fixed vocabulary, CrashChat's."""

from typing import Any, Final

from django.db import models


class Kind(models.TextChoices):
    """Stored in the database and in exports: never rename one without a migration."""

    CRASH_RECOGNITION = "crash_recognition"
    CRASH_DESCRIPTION = "crash_description"
    CAUSAL_REASONING = "causal_reasoning"
    PREVENTION_REASONING = "prevention_reasoning"
    CRASH_LOCALIZATION = "crash_localization"
    PRE_CRASH_LOCALIZATION = "pre_crash_localization"


TEXT_KINDS: Final = (Kind.CRASH_DESCRIPTION, Kind.CAUSAL_REASONING, Kind.PREVENTION_REASONING)
TIME_KINDS: Final = (Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION)

NEGATIVE_TEXT: Final[dict[str, str]] = {
    Kind.CRASH_DESCRIPTION: "no collision.",
    Kind.CAUSAL_REASONING: "No accident, no cause.",
    Kind.PREVENTION_REASONING: "No accident, no prevention needed.",
}


class AnswerState(models.TextChoices):
    """Stored in the database: never rename one without a migration.

    valued: the value is there; absent: no crash, so no span or instant; unparsable: the model wrote
    something that is no answer; out_of_clip: a time beyond the clip (the value is kept).
    """

    VALUED = "valued"
    ABSENT = "absent"
    UNPARSABLE = "unparsable"
    OUT_OF_CLIP = "out_of_clip"


def value_problem(kind: str, state: str, value: dict[str, Any] | None) -> str | None:
    """Why a value does not have its kind's shape, or None when it does.

    Shapes: recognition {"label": "yes"|"no"}; texts {"text": str, not empty}; crash_localization
    {"start_us": int, "end_us": int}; pre_crash_localization {"at_us": int}. Times are microseconds >= 0.
    """
    if state == AnswerState.UNPARSABLE:
        return None if value is None else "an unparsable answer has no value"
    if state == AnswerState.ABSENT:
        if kind not in TIME_KINDS:
            return "only a span or an instant can be absent"
        return None if value is None else "an absent answer has no value"
    if not isinstance(value, dict):
        return "a value is needed"
    if kind == Kind.CRASH_RECOGNITION:
        return (
            None
            if value.keys() == {"label"} and value["label"] in ("yes", "no")
            else 'label must be "yes" or "no"'
        )
    if kind in TEXT_KINDS:
        if value.keys() != {"text"} or not isinstance(value["text"], str) or not value["text"].strip():
            return "text must be a sentence"
        return None
    names = {"start_us", "end_us"} if kind == Kind.CRASH_LOCALIZATION else {"at_us"}
    if value.keys() != names:
        return f"needs exactly {', '.join(sorted(names))}"
    for name in sorted(names):
        if isinstance(value[name], bool) or not isinstance(value[name], int) or value[name] < 0:
            return f"{name} must be a whole number of microseconds, 0 or more"
    return None
