"""The questions asked where a corpus brings none of its own. One wording per kind; a change makes a new version.

Each demands the answer's exact form, because the parser accepts nothing else.
"""

from typing import Final

from annotations.cases.kinds import NEGATIVE_TEXT, Kind

_ROLE: Final = "You analyse road traffic footage. "

DEFAULT_PROMPTS: Final[dict[str, str]] = {
    Kind.CRASH_RECOGNITION: (
        _ROLE
        + "Does a crash happen in this clip: does a road user hit something or somebody, or come off the road "
        "out of control? Reply with one word, 'Yes' or 'No'."
    ),
    Kind.CRASH_DESCRIPTION: (
        _ROLE
        + "Say what crashes in this clip in one short sentence made of subject, verb and object, such as 'car "
        "hits cyclist.' Call the filming vehicle ego-car. Without a crash reply exactly "
        f"'{NEGATIVE_TEXT[Kind.CRASH_DESCRIPTION]}'"
    ),
    Kind.CAUSAL_REASONING: (
        _ROLE
        + "Name the most likely cause of the crash in this clip in one short sentence. Without a crash reply "
        f"exactly '{NEGATIVE_TEXT[Kind.CAUSAL_REASONING]}'"
    ),
    Kind.PREVENTION_REASONING: (
        _ROLE
        + "Explain in a few full sentences what the road users in this clip could have done to prevent the "
        f"crash. Without a crash reply exactly '{NEGATIVE_TEXT[Kind.PREVENTION_REASONING]}'"
    ),
    Kind.CRASH_LOCALIZATION: (
        _ROLE
        + "From when to when does the crash last in this clip? Reply with the start and the end in seconds from "
        "the beginning of the clip, in the form '3.2 - 4.5 seconds'."
    ),
    Kind.PRE_CRASH_LOCALIZATION: (
        _ROLE
        + "When does the first visible sign of the coming crash appear in this clip? Reply with one time in "
        "seconds from the beginning of the clip, in the form '2.1 seconds'."
    ),
}
