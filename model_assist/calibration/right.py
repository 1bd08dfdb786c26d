"""When a model's answer counts as right, for calibration. These constants are stated here and nowhere else."""

from collections.abc import Mapping
from typing import Any, Final

from model_assist.crashchat.kinds import CRASH_LOCALIZATION, CRASH_RECOGNITION, PRE_CRASH_LOCALIZATION

SPAN_IOU_NUMERATOR: Final = 1
SPAN_IOU_DENOMINATOR: Final = 2
"""A span is right when its overlap with the true one is at least half of both together."""

ONSET_WITHIN_US: Final = 500_000
"""An onset is right when it is at most this far from the true one, early or late."""

RULES: Final[dict[str, str]] = {
    CRASH_RECOGNITION: "the same label",
    CRASH_LOCALIZATION: f"IoU of at least {SPAN_IOU_NUMERATOR / SPAN_IOU_DENOMINATOR:g}",
    PRE_CRASH_LOCALIZATION: f"at most {ONSET_WITHIN_US / 1_000_000:g} s away",
}
TEXT_RULE: Final = "the same words, whatever the case and the white space"

Value = Mapping[str, Any] | None


def rule_of(kind: str) -> str:
    """What makes an answer of this kind right, in words; stored with every calibration."""
    return RULES.get(kind, TEXT_RULE)


def is_right(kind: str, true_state: str, true: Value, said_state: str, said: Value) -> bool:
    """Whether an answer says what was approved. "absent" is right where the approved answer is absent too.

    Values have their kind's shape; a time beyond the clip's end is compared like any other.
    """
    if true is None or said is None:
        return true_state == said_state == "absent"
    if kind == CRASH_RECOGNITION:
        return bool(true["label"] == said["label"])
    if kind == PRE_CRASH_LOCALIZATION:
        return bool(abs(true["at_us"] - said["at_us"]) <= ONSET_WITHIN_US)
    if kind == CRASH_LOCALIZATION:
        return _overlaps((true["start_us"], true["end_us"]), (said["start_us"], said["end_us"]))
    return plain(true["text"]) == plain(said["text"])


def plain(text: str) -> str:
    """A text without what does not matter: one space between words, no case."""
    return " ".join(text.split()).casefold()


def _overlaps(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """In whole microseconds, so that a threshold met exactly is met. Equal spans are right, of zero length too."""
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    joined = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return a == b or (joined > 0 and SPAN_IOU_DENOMINATOR * shared >= SPAN_IOU_NUMERATOR * joined)
