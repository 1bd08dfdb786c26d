"""Model text to answer and back.

`parse_answer` reads what a model wrote; anything it cannot read for certain becomes the state "unparsable"
with a reason, never a default and never a repair.  What it can read although it is not written as the training
data writes it ("1.9 to 4 s" for "1.9 - 4.0 seconds") keeps its value and is marked off-format.  `render_answer` is
its inverse and writes training targets and CrashChat exports.  Times are integer microseconds.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from model_assist.crashchat.kinds import (
    ABSENT_TEXT,
    CRASH_LOCALIZATION,
    CRASH_RECOGNITION,
    PERCEPTION,
    PRE_CRASH_LOCALIZATION,
    TEXT_KINDS,
    State,
    check_kind,
)

MICROSECONDS: Final = 1_000_000
TENTH_US: Final = 100_000
MAX_WHOLE_DIGITS: Final = 9
"""Longer whole-second parts (over 31 years) are noise, and would not fit a database integer."""

_NUMBER = r"(?<![0-9])([0-9]++)(?:\.([0-9]++))?+"  # possessive: endless digits are read once
_SECONDS = r"(?:s|sec|secs|second|seconds)\b"
_SPAN = re.compile(
    rf"{_NUMBER}\s*(?:{_SECONDS})?\s*(?:-|\u2013|\u2014|to\b)\s*{_NUMBER}\s*(?P<unit>{_SECONDS})?",
    re.IGNORECASE,
)
_INSTANT = re.compile(rf"{_NUMBER}\s*(?P<unit>{_SECONDS})?", re.IGNORECASE)
_YES_NO = re.compile(r"^['\"\s]*(yes|no)(?P<rest>\s*|['\".,;:!\s]*|[.,;:!\n].*)$", re.IGNORECASE | re.DOTALL)
_CRASH = r"(?:traffic |car |visible )?(?:crash|collision|accident|impact|incident)(?:es|s)?"
_NOTHING = re.compile(
    rf"\W*(?:none|no|(?:there (?:is|was) )?no {_CRASH}(?:,? no (?:time|cause|onset|prevention needed))?"
    r"(?: (?:occurs|occurred|happens|happened|takes place|took place|is visible|was visible))?"
    r"(?: in (?:this|the) (?:clip|video))?)\W*",
    re.IGNORECASE,
)
"""The whole of an answer that says that nothing happened; "no idea" and "no crash before the turn" are none."""
_CLOCK = re.compile(r"[0-9]\s*:\s*[0-9]")
_COMMA = re.compile(r"[0-9],[0-9]")
_CHANGES_MEANING = re.compile(
    r"\b(?:not|never|before|after|until|till|less|more|least|most|than|under|over|within|every|ago|earlier|later|"
    r"minus|plus|half|quarter|minutes?|mins?|hours?|frames?|or|nan|inf(?:inity)?)\b",
    re.IGNORECASE,
)
"""Words that make a number beside them mean something else: "less than 2.0 seconds" is no time."""
_SIGNS: Final = ("-", "+", "\u2212", "\u2013", "\u2014", "\u00b1", "~", "<", ">", "\u2264", "\u2265")
_MAY_STAND_BEFORE: Final = frozenset("\"'\u201c\u2018([{=:*")
_MAY_STAND_AFTER: Final = frozenset("\"'\u201d\u2019)]}.,;!?*")


@dataclass(frozen=True)
class ParsedAnswer:
    """One answer as read from text.

    `value` has the kind's shape ({"label"}, {"text"}, {"start_us", "end_us"} or {"at_us"}) in the states
    "valued" and "out_of_clip", and is None in "absent" and "unparsable".  `reason` says why the state is not
    "valued".  `off_format` marks an answer that was understood but is not written as the training data writes it;
    it is False for "unparsable" (not understood) and for free text (which has no form to miss).
    """

    state: State
    value: dict[str, Any] | None
    reason: str = ""
    off_format: bool = False


def parse_answer(kind: str, text: str, *, duration_us: int | None) -> ParsedAnswer:
    """Read one answer.  With `duration_us` None the clip's length is unknown and "out_of_clip" cannot occur.

    Raises ValueError only for an unknown kind; every text has a result.
    """
    check_kind(kind)
    stripped = text.strip()
    parsed = _parse(kind, stripped, duration_us)
    if parsed.state == "unparsable" or kind in TEXT_KINDS:
        return parsed
    written = render_answer(kind, parsed.state, parsed.value)
    return replace(parsed, off_format=stripped != written)


def _parse(kind: str, text: str, duration_us: int | None) -> ParsedAnswer:
    if not text:
        return _unparsable("empty answer")
    if kind == CRASH_RECOGNITION:
        return _parse_label(text)
    if kind in TEXT_KINDS:
        return ParsedAnswer("valued", {"text": text})
    if _NOTHING.fullmatch(text):
        return ParsedAnswer("absent", None, "the answer says that nothing happened")
    if kind == CRASH_LOCALIZATION:
        return _parse_span(text, duration_us)
    return _parse_instant(text, duration_us)


def render_answer(kind: str, state: str, value: Mapping[str, Any] | None) -> str:
    """Write one answer the way CrashChat's data does: 'Yes', the text, '1.9 - 4.0 seconds', '1.0 seconds'.

    Whole tenths of a second print one decimal, other values as many as they need (up to six), so that parsing
    gives back the same microseconds.  Raises ValueError for a value of the wrong shape, an unknown kind, and
    the state "unparsable", which has nothing to write.
    """
    check_kind(kind)
    if state == "absent":
        if kind not in PERCEPTION:
            raise ValueError(f"{kind} cannot be absent: its negative answer is a value")
        return ABSENT_TEXT
    if state not in ("valued", "out_of_clip"):
        raise ValueError(f"an answer in state {state!r} cannot be rendered")
    if value is None:
        raise ValueError(f"{kind} in state {state!r} has no value")
    try:
        if kind == CRASH_RECOGNITION:
            return {"yes": "Yes", "no": "No"}[value["label"]]
        if kind == CRASH_LOCALIZATION:
            return f"{format_seconds(value['start_us'])} - {format_seconds(value['end_us'])} seconds"
        if kind == PRE_CRASH_LOCALIZATION:
            return f"{format_seconds(value['at_us'])} seconds"
        words = value["text"].strip()
    except (KeyError, AttributeError) as error:
        raise ValueError(f"{kind}: {dict(value)!r} has the wrong shape") from error
    if not words:
        raise ValueError(f"{kind}: the text is empty")
    return str(words)


def render_target(
    kind: str, state: str, value: Mapping[str, Any] | None, *, duration_us: int | None = None
) -> str:
    """`render_answer` with times rounded to tenths of a second, the grid of the published training data.

    For training targets: a model cannot see microseconds, and learning their digits only teaches it to ramble.
    Rounds half up, but down where that would lead past `duration_us`, the clip's end: a value inside the clip
    then has a target inside it.  Spans stay ordered either way.
    """
    if value is None or kind not in PERCEPTION:
        return render_answer(kind, state, value)
    rounded = {name: _to_tenth(time_us, duration_us) for name, time_us in value.items()}
    return render_answer(kind, state, rounded)


def _to_tenth(time_us: int, duration_us: int | None) -> int:
    nearest = (time_us + TENTH_US // 2) // TENTH_US * TENTH_US
    if duration_us is not None and nearest > duration_us:
        return time_us // TENTH_US * TENTH_US
    return nearest


def format_seconds(time_us: int) -> str:
    """Microseconds as decimal seconds with at least one and at most six decimals, exactly.

    Raises ValueError for negative times and for anything that is not an integer.
    """
    if not isinstance(time_us, int) or isinstance(time_us, bool) or time_us < 0:
        raise ValueError(f"a time must be a non-negative integer of microseconds, not {time_us!r}")
    whole, fraction = divmod(time_us, MICROSECONDS)
    return f"{whole}.{f'{fraction:06d}'.rstrip('0') or '0'}"


def _unparsable(reason: str) -> ParsedAnswer:
    return ParsedAnswer("unparsable", None, reason)


def _parse_label(text: str) -> ParsedAnswer:
    match = _YES_NO.match(text)
    if match is None:
        return _unparsable("expected Yes or No")
    label = match[1].lower()
    opposite = "no" if label == "yes" else "yes"
    if re.search(rf"\b{opposite}\b", match["rest"], re.IGNORECASE):
        return _unparsable("the answer says both Yes and No")
    return ParsedAnswer("valued", {"label": label})


def _parse_span(text: str, duration_us: int | None) -> ParsedAnswer:
    match = _SPAN.search(text)
    if match is None:
        return _unparsable("expected 'start - end seconds'")
    problem = _surroundings(text, match)
    if problem:
        return _unparsable(problem)
    start, end = _microseconds(match[1], match[2]), _microseconds(match[3], match[4])
    if start is None or end is None:
        return _unparsable("a number is too large to be a time")
    if end < start:
        return _unparsable("the span ends before it starts")
    value = {"start_us": start, "end_us": end}
    if duration_us is not None and end > duration_us:
        return ParsedAnswer("out_of_clip", value, f"the span ends after the clip ({duration_us} us)")
    return ParsedAnswer("valued", value)


def _parse_instant(text: str, duration_us: int | None) -> ParsedAnswer:
    match = _INSTANT.search(text)
    if match is None:
        return _unparsable("expected 'time seconds'")
    problem = _surroundings(text, match)
    if problem:
        return _unparsable(problem)
    at = _microseconds(match[1], match[2])
    if at is None:
        return _unparsable("the number is too large to be a time")
    if duration_us is not None and at > duration_us:
        return ParsedAnswer("out_of_clip", {"at_us": at}, f"the instant is after the clip ({duration_us} us)")
    return ParsedAnswer("valued", {"at_us": at})


def _surroundings(text: str, match: re.Match[str]) -> str:
    """Why the text around a matched time makes it ambiguous, or the empty string."""
    before, after = text[: match.start()], text[match.end() :]
    if _CLOCK.search(text):
        return "a clock time; expected seconds"
    if _COMMA.search(text):
        return "a comma between digits, which may be a decimal point or not"
    if any(c.isnumeric() for c in before + after):
        return "the answer holds more numbers than it should"
    if before and not before[-1].isspace() and before[-1] not in _MAY_STAND_BEFORE:
        return f"the time has {before[-1]!r} in front"
    if before.rstrip()[-1:] in _SIGNS:
        return "the time has a sign in front"
    following = after.strip()
    if match["unit"] is None and following and following[0] not in _MAY_STAND_AFTER:
        return f"unknown unit {following.split()[0][:20]!r}"
    if word := _CHANGES_MEANING.search(before) or _CHANGES_MEANING.search(after):
        return f"{word[0]!r} changes what the time means"
    return ""


def _microseconds(whole: str, fraction: str | None) -> int | None:
    """Decimal digits to microseconds, rounding half up beyond the sixth decimal; None when absurdly large."""
    significant = whole.lstrip("0") or "0"
    if len(significant) > MAX_WHOLE_DIGITS:
        return None
    digits = (fraction or "")[:7].ljust(7, "0")
    return (int(significant) * MICROSECONDS * 10 + int(digits) + 5) // 10
