"""What became of a draft: how a person's answer differs from what they were shown.

Whether a region is still the draft's own is told by its id, against CrashDesk's own copy of the draft. What a review
tool says of a region's origin is not used: Label Studio leaves it at "prediction" when only the frames were moved, and
its `annotation.prediction` is not always the prediction that was on screen.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from annotations.cases.kinds import TEXT_KINDS, AnswerState, Kind
from annotations.cases.rules import Said
from annotations.statistics.texts import normalised_edit_distance
from annotations.statistics.times import MICROSECONDS, overlap_distance

ACCEPTED: Final = "accepted"
EDITED: Final = "edited"
REWRITTEN: Final = "rewritten"
REMOVED: Final = "removed"
ADDED: Final = "added"


@dataclass(frozen=True)
class Change:
    """One kind's difference; the fields are those of AnswerChange, shifts in microseconds, person minus draft."""

    change: str
    distance: float
    start_shift_us: int | None = None
    end_shift_us: int | None = None


def recognise(
    *,
    shown: Mapping[str, Said],
    said: Mapping[str, Said],
    regions: Mapping[str, Collection[str]],
    unread: Collection[str] = (),
    drawn: Mapping[str, str] | None = None,
) -> dict[str, Change]:
    """By kind, what became of the draft.

    `shown`: the drafts. `said`: the person's answers. `regions`: by kind, the ids of the regions it was answered with.
    `unread`: kinds whose regions could not be read; of them nothing is said. `drawn`: the id of each draft's region,
    where it is not the kind's own name.

    - accepted: the answer is the draft, texts compared without the space around them. Also "absent" left absent, and
      the fixed sentences of "no", which the form hides.
    - edited: another answer in the draft's own region. `distance` says how far.
    - rewritten: the draft's region is gone and another one stands in its place.
    - removed: the draft had a value and nothing stands in its place.
    - added: there was no value to start from.

    A kind that nobody drafted and nobody drew has no change.
    """
    changes: dict[str, Change] = {}
    for kind in Kind.values:
        if kind in unread:
            continue
        change = _change(
            kind, shown.get(kind), said.get(kind), regions.get(kind, ()), (drawn or {}).get(kind, kind)
        )
        if change is not None:
            changes[kind] = change
    return changes


def _change(
    kind: str, draft: Said | None, answer: Said | None, regions: Collection[str], own: str
) -> Change | None:
    if draft is not None and answer is not None and says_the_same(draft, answer):
        return Change(ACCEPTED, 0.0) if _states(draft) else None
    before = draft.value if draft is not None else None
    after = answer.value if answer is not None and regions else None
    if before is None:
        return Change(ADDED, 1.0) if after is not None else None
    if after is None:
        return Change(REMOVED, 1.0)
    first, last = shifts(kind, before, after)
    return Change(EDITED if own in regions else REWRITTEN, distance(kind, before, after), first, last)


def _states(draft: Said) -> bool:
    """Whether the draft said anything at all: what could not be parsed did not."""
    return draft.value is not None or draft.state == AnswerState.ABSENT


def distance(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """How far two values of one kind lie apart: 0 the same, 1 nothing in common.

    Texts: Levenshtein's distance over the characters of the longer text, without the space around them.
    Spans: 1 - tIoU. Instants: seconds, and a second or more is 1. Yes or no: 0 or 1.
    """
    if kind in TEXT_KINDS:
        return normalised_edit_distance(before["text"].strip(), after["text"].strip())
    if kind == Kind.CRASH_LOCALIZATION:
        spans = [
            np.array([[value["start_us"], value["end_us"]]], dtype=np.int64) for value in (before, after)
        ]
        return float(overlap_distance(*spans)[0])
    if kind == Kind.PRE_CRASH_LOCALIZATION:
        return float(min(1.0, abs(after["at_us"] - before["at_us"]) / MICROSECONDS))
    return float(before != after)


def shifts(
    kind: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[int, int] | tuple[int, None] | tuple[None, None]:
    """How far a span's start and end were moved, or an instant; microseconds, after minus before."""
    if kind == Kind.CRASH_LOCALIZATION:
        return after["start_us"] - before["start_us"], after["end_us"] - before["end_us"]
    if kind == Kind.PRE_CRASH_LOCALIZATION:
        return after["at_us"] - before["at_us"], None
    return None, None


def says_the_same(one: Said, other: Said) -> bool:
    """Whether two answers of one kind say the same: equal values, texts compared without surrounding space."""
    return one.state == other.state and _comparable(one.value) == _comparable(other.value)


def _comparable(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {name: part.strip() if isinstance(part, str) else part for name, part in value.items()}
