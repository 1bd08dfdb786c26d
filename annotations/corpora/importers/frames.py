"""Frame numbers of datasets that label frames: to microseconds, and what a record declares of its clip.

Every reader whose records hold numbers of frames puts the same two entries into a video's metadata, for the corpus
audit to compare with the clip and with each other:

- `declared`: {"frames": int, "fps": [num, den], "duration_us": int, "start_frame": int, "end_frame": int}, each only
  where the record says so. Frames count from 0 in the clip; the end is exclusive (the first frame after the event).
- `inconsistent`: [{"fields": [name, …], "message": str}], one for each contradiction between fields of a record. The
  record is taken all the same and nothing in it is repaired.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from annotations.corpora.importers.rows import BadField, GivenAnswer
from annotations.corpora.importers.times import rate_of
from annotations.corpora.media.timemap import frame_time_us

MAX_FRAMES: Final = 100_000_000
"""A number of frames beyond this (100 days at 10 a second) is not one."""
MAX_DIGITS: Final = 9
SLOWEST: Final = Fraction(1, 100)


def parsed_fps(value: Any) -> Fraction | None:
    """A rate given as the option `fps`: 25, "29.97" or "30000/1001"; None where it is absent. BadField otherwise."""
    if value is None or value == "":
        return None
    rate = rate_of(value, "options.fps")
    if rate < SLOWEST:
        raise BadField("options.fps", f"{value} is no frame rate")
    return rate


def whole(value: Any, field: str) -> int:
    """A number of frames as JSON or a pickle has it. BadField when it is none."""
    if isinstance(value, bool) or not isinstance(value, int):
        what = "is missing" if value is None else f"must be a whole number, not {type(value).__name__}"
        raise BadField(field, what)
    if not 0 <= value <= MAX_FRAMES:
        raise BadField(field, f"must be from 0 to {MAX_FRAMES}")
    return value


def whole_text(value: Any, field: str) -> int:
    """A number of frames written in digits, with leading zeros or not. BadField when it is none."""
    if not isinstance(value, str):
        raise BadField(
            field, "is missing" if value is None else f"must be digits, not {type(value).__name__}"
        )
    if not (value.isascii() and value.isdigit()):
        raise BadField(field, f"{value[:40]!r} is not a whole number")
    if len(value) > MAX_DIGITS:
        raise BadField(field, f"has more than {MAX_DIGITS} digits")
    return whole(int(value), field)


def positive_runs(labels: Sequence[int]) -> list[tuple[int, int]]:
    """The runs of 1 in 0/1 labels of frames, as (first frame, first frame after)."""
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for frame, label in enumerate(labels):
        if label and start is None:
            start = frame
        elif not label and start is not None:
            runs.append((start, frame))
            start = None
    if start is not None:
        runs.append((start, len(labels)))
    return runs


def span_answer(start: int, end: int, fps: Fraction, raw_text: str) -> GivenAnswer:
    """A crash span from its first frame and the first frame after it."""
    value = {"start_us": frame_time_us(start, fps), "end_us": frame_time_us(end, fps)}
    return GivenAnswer("crash_localization", value, raw_text)


def recognition(label: str, raw_text: str) -> GivenAnswer:
    """The answer "yes" or "no" to whether there is a crash."""
    return GivenAnswer("crash_recognition", {"label": label}, raw_text)


class Facts:
    """What a record declares of its clip, and the contradictions found in it."""

    def __init__(self, *, frames: int | None = None, fps: Fraction | None = None) -> None:
        self.frames, self.fps = frames, fps
        self._span: tuple[int, int] | None = None
        self._inconsistent: list[dict[str, Any]] = []

    def expect(self, holds: bool, fields: Sequence[str], message: str) -> None:
        """Note a contradiction between `fields` unless `holds`."""
        if not holds:
            self._inconsistent.append({"fields": list(fields), "message": message})

    def span(self, start: int, end: int, *, fields: tuple[str, str], frames_field: str) -> None:
        """Declare the event's frames (end exclusive), and check them against each other and the clip's length."""
        self._span = (start, end)
        self.expect(
            start < end, fields, f"{fields[0]} is {start}, {fields[1]} is {end}: no frame between them"
        )
        if self.frames is not None:
            self.expect(
                end <= self.frames,
                (fields[1], frames_field),
                f"{fields[1]} is {end}, {frames_field} is {self.frames}: the event ends after the clip",
            )

    def metadata(self) -> dict[str, Any]:
        """The entries `declared` and, where there is any contradiction, `inconsistent`."""
        declared: dict[str, Any] = {}
        if self.frames is not None:
            declared["frames"] = self.frames
        if self.fps is not None:
            declared["fps"] = [self.fps.numerator, self.fps.denominator]
        if self.frames is not None and self.fps is not None:
            declared["duration_us"] = frame_time_us(self.frames, self.fps)
        if self._span is not None:
            declared["start_frame"], declared["end_frame"] = self._span
        found: dict[str, Any] = {"declared": declared} if declared else {}
        if self._inconsistent:
            found["inconsistent"] = self._inconsistent
        return found
