"""What a reader of somebody's files yields: rows for videos and answers, and rejections. No database here.

Kinds are written as the plain words of annotations.cases.kinds.Kind: this room may not import that one
(a test holds the two together).
"""

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any, Final

KINDS: Final = (
    "crash_recognition",
    "crash_description",
    "causal_reasoning",
    "prevention_reasoning",
    "crash_localization",
    "pre_crash_localization",
)
MAX_NAME, MAX_SOURCE, MAX_RECORDING = 300, 100, 200
MAX_SPLIT, MAX_URL, MAX_FIELD = 20, 2000, 60
MAX_DIGITS: Final = 30
_PLAIN_NAME: Final = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*")
"""Names that need no closer look: no folder or file begins with a point."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row (from 1), or a whole file when `row` is None, that was not taken. `name` and `kind` where known."""

    file: str
    row: int | None
    field: str
    reason: str
    name: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """What a row says on one kind of question. `value` has its kind's shape, times in microseconds of the clip.

    `raw_text` is the file's own writing of it; a format that has no sentence for it joins the fields it came from.
    """

    kind: str
    value: dict[str, Any]
    raw_text: str
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class VideoRow:
    """A clip, with what its row says of it.

    `path`: its bytes on this machine; None when only its annotations are known to be here (the intake looks beside
    the files, where the format says `find_media`). `record`: the row as it stood in the file, kept for good.
    `recording_origin`: a value of RecordingOrigin ("name" when the recording is only the clip's own name).
    """

    file: str
    row: int | None
    name: str
    source: str
    recording: str
    path: Path | None
    metadata: dict[str, Any] = field(default_factory=dict)
    recording_origin: str = "format"
    split: str = ""
    url: str = ""
    answers: tuple[GivenAnswer, ...] = ()
    record: Any = None


class BadField(Exception):
    """A field of a row cannot be used."""

    def __init__(self, field_name: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field_name, reason


def text_field(record: dict[str, Any], name: str, *, limit: int | None, default: str | None = None) -> str:
    """A field that must be text, as short as its column and storable; BadField otherwise."""
    value = record.get(name, default)
    if value is None:
        raise BadField(name, "is missing")
    if not isinstance(value, str):
        raise BadField(name, f"must be text, not {type(value).__name__}")
    return checked_text(value, name, limit=limit)


def checked_text(value: str, field_name: str, *, limit: int | None) -> str:
    """`value` unless it is too long or holds characters that no database text can hold (NUL, half surrogates)."""
    if limit is not None and len(value) > limit:
        raise BadField(field_name, f"is longer than {limit} characters")
    if "\x00" in value:
        raise BadField(field_name, "holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadField(field_name, "is not valid Unicode text") from error
    return value


def checked_name(value: str, field_name: str) -> str:
    """A clip's name: a relative path that stays inside its corpus; BadField otherwise."""
    value = checked_text(value, field_name, limit=MAX_NAME)
    if _PLAIN_NAME.fullmatch(value):
        return value
    path = PurePosixPath(value)
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in value:
        raise BadField(field_name, f"{value!r} is not a file name inside the corpus")
    return value


def checked_metadata(value: dict[str, Any], field_name: str) -> dict[str, Any]:
    """Metadata that JSONB can hold; BadField otherwise."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError is a ValueError
        raise BadField(field_name, f"cannot be stored: {error}") from error
    if "\\u0000" in text:
        raise BadField(field_name, "holds a NUL character")
    return value


def kept_record(record: Any) -> Any:
    """A row as it stood in the file, in a form that JSONB can hold; BadField otherwise.

    Numbers read as Decimal become the int or float of the same writing.
    """
    try:
        text = json.dumps(record, allow_nan=False, ensure_ascii=False, default=_plain_number)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise BadField("", f"the row cannot be stored: {error}") from error
    if "\\u0000" in text:
        raise BadField("", "the row holds a NUL character")
    return json.loads(text)


def _plain_number(value: Any) -> Any:
    if isinstance(value, Decimal):
        whole = value.is_finite() and value.adjusted() < MAX_DIGITS and value == value.to_integral_value()
        return int(value) if whole else float(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def shown(path: Path | str) -> str:
    """A path as text that can be stored and printed, whatever bytes its name holds; the last 300 characters."""
    return str(path).encode(errors="surrogateescape").decode(errors="replace").replace("\x00", "?")[-300:]
