"""The six question kinds, their groups, and the texts that stand for "nothing happened"."""

from typing import Final, Literal

State = Literal["valued", "absent", "unparsable", "out_of_clip"]

CRASH_RECOGNITION: Final = "crash_recognition"
CRASH_DESCRIPTION: Final = "crash_description"
CAUSAL_REASONING: Final = "causal_reasoning"
PREVENTION_REASONING: Final = "prevention_reasoning"
CRASH_LOCALIZATION: Final = "crash_localization"
PRE_CRASH_LOCALIZATION: Final = "pre_crash_localization"

TEXT_KINDS: Final[tuple[str, ...]] = (CRASH_DESCRIPTION, CAUSAL_REASONING, PREVENTION_REASONING)
LINGUISTIC: Final[tuple[str, ...]] = (CRASH_RECOGNITION, *TEXT_KINDS)
PERCEPTION: Final[tuple[str, ...]] = (CRASH_LOCALIZATION, PRE_CRASH_LOCALIZATION)
ALL: Final[tuple[str, ...]] = LINGUISTIC + PERCEPTION

NEGATIVE_TEXTS: Final[dict[str, str]] = {
    CRASH_DESCRIPTION: "no collision.",
    CAUSAL_REASONING: "No accident, no cause.",
    PREVENTION_REASONING: "No accident, no prevention needed.",
}
"""What CrashChat's data says in each text kind when the clip shows no crash."""

ABSENT_TEXT: Final = "No accident, no time."
"""What a localisation answer says when there is nothing to localise.

CrashChat has no such text (its localisation files hold crash clips only), so exports in its format leave
absent answers out; the text exists so that rendering and parsing are inverse for every answer.
"""


def check_kind(kind: str) -> str:
    """Return `kind`; raise ValueError naming the six kinds when it is not one of them."""
    if kind not in ALL:
        raise ValueError(f"unknown kind {kind!r}; the kinds are {', '.join(ALL)}")
    return kind
