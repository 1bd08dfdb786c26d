"""How far two people's answers of one kind agree, from 0 (nothing in common) to 1 (the same).

Yes or no: 1 or 0. Texts: token F1 (annotations.statistics.texts). Spans: tIoU. Onsets: h / (h + d) with d seconds
between them and h half a second, so that 0.5 s apart agrees to 0.5; the quality pages rank cases by the same scale.
Both "there is none" agree, one alone does not, and an answer that is missing or no answer agrees with nothing.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from annotations.cases.kinds import TEXT_KINDS, AnswerState, Kind
from annotations.cases.rules import Said
from annotations.statistics.texts import token_f1, words_of
from annotations.statistics.times import MICROSECONDS, overlap

HALF_SECONDS: Final = 0.5
"""Onsets so far apart agree to one half."""


def agreement(kind: str, one: Said | None, other: Said | None) -> float:
    """0 to 1; two answers that are both missing agree, nobody can decide between them."""
    if one is None or other is None:
        return float(one is other)
    if AnswerState.UNPARSABLE in (one.state, other.state):
        return 0.0
    if one.value is None or other.value is None:
        return float(one.value is other.value)
    if kind == Kind.CRASH_LOCALIZATION:
        spans = [
            np.array([[said.value["start_us"], said.value["end_us"]]]) for said in (one, other) if said.value
        ]
        return float(overlap(spans[0], spans[1])[0])
    if kind == Kind.PRE_CRASH_LOCALIZATION:
        apart = abs(int(one.value["at_us"]) - int(other.value["at_us"])) / MICROSECONDS
        return HALF_SECONDS / (HALF_SECONDS + apart)
    if kind in TEXT_KINDS:
        return token_f1(words_of(one.value["text"]), words_of(other.value["text"]))
    return float(one.value == other.value)


def within(kind: str, one: Said | None, other: Said | None, tolerance: float) -> bool:
    """Whether two answers differ by no more than the tolerance of their kind.

    Spans and onsets: microseconds that each edge, or the onset, may be off. Texts: the share of words (1 - token F1)
    that may differ. Yes or no knows no tolerance.
    """
    if one is None or other is None or one.value is None or other.value is None:
        return agreement(kind, one, other) == 1.0
    if kind in (Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION):
        return _furthest(one.value, other.value) <= tolerance
    if kind in TEXT_KINDS:
        return 1 - agreement(kind, one, other) <= tolerance
    return one.value == other.value


def _furthest(one: Mapping[str, int], other: Mapping[str, int]) -> int:
    return max(abs(one[edge] - other[edge]) for edge in one)
