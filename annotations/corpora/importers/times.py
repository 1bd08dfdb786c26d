"""Times and rates as files write them, to whole microseconds and exact fractions. No float takes part in a result.

A number may be text, int, Decimal or float (taken as the shortest decimal that prints it). A time must be a whole
number of microseconds unless its file is declared to be rounded: what looks finer is usually another unit.
"""

import re
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from annotations.corpora.importers.rows import BadField
from annotations.corpora.media.timemap import frame_time_us

UNITS: Final[dict[str, int]] = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
"""Microseconds in one of each unit that is a time by itself; frames need a rate."""

_LATEST_US: Final = 10**13
_MOST_FRAMES: Final = 10**9
_FASTEST: Final = 1000
_NUMBER = re.compile(r"[+-]?(?:\d{1,15}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,2})?", re.ASCII)
_RATIO = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})", re.ASCII)


def number_of(value: Any, field: str) -> Decimal:
    """A number as it is written; BadField when it is none, or far too large or fine to be a time or a rate."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise BadField(field, f"must be a number, not {type(value).__name__}")
    text = value.strip() if isinstance(value, str) else str(value)
    if not _NUMBER.fullmatch(text):
        hint = ": write a decimal point" if re.fullmatch(r"-?\d+,\d+", text, re.ASCII) else ""
        raise BadField(field, f"{text[:60]!r} is no number{hint}")
    return Decimal(text)


def time_us(value: Any, field: str, *, unit: str = "seconds", rounded: bool = False) -> int:
    """A time in one of UNITS to microseconds. BadField when it is no number, negative, or finer than a microsecond.

    `rounded`: take the nearest microsecond, half up, instead of refusing what is finer.
    """
    exact = Fraction(number_of(value, field)) * UNITS[unit]
    if exact < 0:
        raise BadField(field, f"{value} {unit} lies before the clip's start")
    if exact >= _LATEST_US:
        raise BadField(field, f"{value} {unit} is longer than any clip")
    if exact.denominator != 1 and not rounded:
        raise BadField(field, f"{value} {unit} is finer than a microsecond")
    return (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)


def frame_of(value: Any, field: str) -> int:
    """A frame's number: whole, 45 or 45.0, of either sign. BadField otherwise."""
    number = number_of(value, field)
    if number != number.to_integral_value() or abs(number) > _MOST_FRAMES:
        raise BadField(field, f"{value} is no frame number")
    return int(number)


def frame_us(frame: int, fps: Fraction, field: str) -> int:
    """When frame `frame` (from 0) comes on screen: frame / fps, rounded half up like time maps. BadField below 0."""
    if frame < 0:
        raise BadField(field, f"frame {frame} lies before the clip's start")
    time = frame_time_us(frame, fps)
    if time >= _LATEST_US:
        raise BadField(field, f"frame {frame} at {fps} frames per second is later than any clip")
    return time


def rate_of(value: Any, field: str) -> Fraction:
    """Frames per second: 30, 29.97, "30000/1001". BadField unless it is above 0 and at most 1000.

    A decimal that is a fraction of small terms printed to the end (29.97002997002997) is that fraction (30000/1001).
    """
    if isinstance(value, str) and (ratio := _RATIO.fullmatch(value.strip())):
        if int(ratio[2]) == 0:
            raise BadField(field, f"{value!r} is no frame rate")
        rate = Fraction(int(ratio[1]), int(ratio[2]))
    else:
        rate = Fraction(number_of(value, field))
        simple = rate.limit_denominator(1001)
        if abs(rate - simple) * 10**12 <= abs(rate):
            rate = simple
    if not 0 < rate <= _FASTEST:
        raise BadField(field, f"{value} is no frame rate")
    return rate
