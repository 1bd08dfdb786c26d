"""The form in which a person maps a table's columns: the mapping as form fields, and form fields as a mapping.

Fields of the form are called like the mapping's own (annotations/corpora/importers/column_mapping.py), joined by dots
and after a prefix: "map.crash_localization.start". The server turns them into a mapping, so that a script only sends
the form.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.http import QueryDict

from annotations.corpora.importers.column_guess import suggest_mapping
from annotations.corpora.importers.column_mapping import NO, REST, TEXT_KINDS, YES, check_mapping
from annotations.corpora.importers.rows import Rejection, VideoRow
from annotations.corpora.importers.table import Look, look, preview
from annotations.corpora.importers.tabular import TableError
from frontend.times import instant, span

SHOWN_ROWS: Final = 8
PREFIX: Final = "map."
_COLUMNS: Final = ("name", "path", "url", *TEXT_KINDS)
_SAID: Final = ("source", "recording", "split")
_TIMES: Final = {"crash_localization": ("start", "end"), "pre_crash_localization": ("at",)}
UNITS: Final = ("seconds", "milliseconds", "microseconds", "frames")
THESE: Final = "these"
DELIMITERS: Final = (
    ("", "found by itself"),
    (",", "comma"),
    (";", "semicolon"),
    ("tab", "tab"),
    ("|", "bar"),
)
LABELS: Final[Mapping[str, str]] = {
    "name": "Name of the clip",
    "path": "Path to its file",
    "url": "Address",
    "source": "Source",
    "recording": "Recording",
    "split": "Split",
    "crash_recognition": "Crash or not",
    "crash_description": "Description",
    "causal_reasoning": "Cause",
    "prevention_reasoning": "Prevention",
    "crash_localization": "Crash, from when to when",
    "pre_crash_localization": "First visible cue",
}


@dataclass(frozen=True)
class Trial:
    """What a mapping makes of a table's first rows."""

    mapping: dict[str, Any]
    problems: list[str]
    rows: list["TrialRow"]
    rejections: list[Rejection]

    @property
    def usable(self) -> bool:
        """Whether an import may start with it."""
        return not self.problems


@dataclass(frozen=True)
class TrialRow:
    """A clip as it would come in; `answers` are (kind, words)."""

    row: VideoRow
    answers: list[tuple[str, str]]


def first_look(path: Path, delimiter: str = "") -> Look:
    """The table's columns and first rows; a table that cannot be read is a problem of the look."""
    try:
        return look(path, limit=SHOWN_ROWS, delimiter="\t" if delimiter == "tab" else delimiter)
    except (OSError, TableError) as error:
        return Look([], [], [Rejection(path.name, None, "", f"cannot be read: {error}")])


def starting_mapping(kept: dict[str, Any], found: Look) -> tuple[dict[str, Any], bool]:
    """(mapping to begin with, whether it is the corpus's own): the kept one where it fits the table's columns."""
    if kept and not check_mapping(kept, found.columns):
        return kept, True
    return suggest_mapping(found.columns, found.rows), False


def fields_of(mapping: Mapping[str, Any]) -> dict[str, str]:
    """A mapping as the form's values. What the form has no field for is not among them."""
    fields: dict[str, str] = {}
    for name in _COLUMNS:
        fields[name] = _column(mapping.get(name))
    for name in _SAID:
        value = mapping.get(name)
        constant = value.get("constant") if isinstance(value, Mapping) else None
        fields[name] = "" if constant else _column(value)
        fields[f"{name}.constant"] = str(constant or "")
    label = mapping.get("crash_recognition") or {}
    label = {"column": label} if isinstance(label, str) else label
    fields["crash_recognition"] = _column(label.get("column"))
    fields["crash_recognition.yes"] = _joined(label.get("yes", YES))
    fields["crash_recognition.no"] = _joined(label.get("no", NO))
    for kind, ends in _TIMES.items():
        times = mapping.get(kind) or {}
        times = {ends[0]: times} if isinstance(times, str) else times
        for end in ends:
            fields[f"{kind}.{end}"] = _column(times.get(end))
        fields[f"{kind}.unit"] = str(times.get("unit", "seconds"))
        fps = times.get("fps")
        fields[f"{kind}.fps"] = "" if isinstance(fps, Mapping) or fps is None else str(fps)
        fields[f"{kind}.fps.column"] = _column(fps) if isinstance(fps, Mapping) else ""
        fields[f"{kind}.first_frame"] = str(times.get("first_frame", 0))
        for flag in ("end_inclusive", "rounded"):
            fields[f"{kind}.{flag}"] = "on" if times.get(flag) is True else ""
    metadata = mapping.get("metadata", REST)
    named = [] if metadata in (REST, None) else list(metadata)
    fields["metadata"] = REST if metadata in (REST, None) else THESE if named else ""
    fields["metadata.columns"] = _joined(named)
    fields["not_given"] = _joined(mapping.get("not_given", []))
    fields["delimiter"] = (
        "tab" if mapping.get("delimiter") in ("\t", "\\t") else mapping.get("delimiter") or ""
    )
    return fields


def mapping_of(form: QueryDict) -> dict[str, Any]:
    """What the form's fields say, in the shape that a corpus keeps. Not checked: check_mapping does that."""
    mapping: dict[str, Any] = {}
    for name in _COLUMNS:
        if column := _text(form, name):
            mapping[name] = column
    for name in _SAID:
        if constant := _text(form, f"{name}.constant"):
            mapping[name] = {"constant": constant}
        elif column := _text(form, name):
            mapping[name] = {"column": column}
    if column := _text(form, "crash_recognition"):
        mapping["crash_recognition"] = {
            "column": column,
            "yes": _split(_text(form, "crash_recognition.yes")),
            "no": _split(_text(form, "crash_recognition.no")),
        }
    for kind, ends in _TIMES.items():
        if times := _times_of(form, kind, ends):
            mapping[kind] = times
    metadata = _text(form, "metadata")
    named = _split(_text(form, "metadata.columns")) if metadata == THESE else []
    mapping["metadata"] = REST if metadata == REST else named
    if not_given := _split(_text(form, "not_given")):
        mapping["not_given"] = not_given
    if delimiter := _text(form, "delimiter"):
        mapping["delimiter"] = delimiter
    return mapping


def _times_of(form: QueryDict, kind: str, ends: Sequence[str]) -> dict[str, Any]:
    named = {end: column for end in ends if (column := _text(form, f"{kind}.{end}"))}
    if not named:
        return {}
    times: dict[str, Any] = {**named, "unit": _text(form, f"{kind}.unit") or "seconds"}
    if times["unit"] == "frames":
        if column := _text(form, f"{kind}.fps.column"):
            times["fps"] = {"column": column}
        elif fps := _text(form, f"{kind}.fps"):
            times["fps"] = fps
        times["first_frame"] = 1 if _text(form, f"{kind}.first_frame") == "1" else 0
        times["end_inclusive"] = bool(_text(form, f"{kind}.end_inclusive"))
    if _text(form, f"{kind}.rounded"):
        times["rounded"] = True
    return times


def trial(path: Path, mapping: dict[str, Any], columns: Sequence[str]) -> Trial:
    """What an import with this mapping would make of the table's first rows; nothing is written."""
    problems = [problem.message for problem in check_mapping(mapping, columns or None)]
    if problems:
        return Trial(mapping, problems, [], [])
    try:
        made = preview(path, mapping, limit=SHOWN_ROWS)
    except OSError as error:
        return Trial(mapping, [f"The table cannot be read: {error.strerror or error}"], [], [])
    rows = [TrialRow(row, [(a.kind, _said(a.value)) for a in row.answers]) for row in made.rows]
    return Trial(mapping, [], rows, made.rejections)


def _said(value: Mapping[str, Any]) -> str:
    """An answer's value in words."""
    if "start_us" in value:
        return span(value["start_us"], value["end_us"])
    if "at_us" in value:
        return instant(value["at_us"])
    return str(value.get("label") or value.get("text") or "")


def _text(form: QueryDict, name: str) -> str:
    return form.get(f"{PREFIX}{name}", "").replace("\0", "").strip()[:2000]


def _column(value: Any) -> str:
    if isinstance(value, Mapping):
        value = value.get("column")
    return value if isinstance(value, str) else ""


def _split(text: str) -> list[str]:
    """Words between commas; a word with a comma in it stands in quotation marks."""
    if not text:
        return []
    return [
        word.strip()
        for word in next(csv.reader([text.replace("\n", ",")], skipinitialspace=True))
        if word.strip()
    ]


def _joined(words: Sequence[str]) -> str:
    return ", ".join(
        f'"{word.replace(chr(34), chr(34) * 2)}"' if "," in word or '"' in word else word for word in words
    )
