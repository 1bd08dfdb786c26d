"""Which column of a table says what: the mapping that a corpus keeps for its tables, read and checked.

A mapping is JSON. Every entry may be left out; a clip must be named by `name`, `path` or `url`.

    name, path, url             column
    source, recording, split    {"column": ...} or {"constant": ...}; a bare text is a column
    crash_recognition           {"column": ..., "yes": [...], "no": [...]}: cells that mean yes and no
    crash_description, causal_reasoning, prevention_reasoning    column
    crash_localization          {"start": column, "end": column, and how times are written}
    pre_crash_localization      {"at": column, and how times are written}
    metadata                    "rest" (every column not named here, the default) or [columns]
    not_given                   [cells that mean that nothing is said], beside the empty cell
    delimiter                   one of , ; tab |; found when left out

How times are written: "unit" is seconds (the default), milliseconds, microseconds or frames. Frames need "fps":
a rate ("30000/1001") or {"column": ...}, and may be numbered from "first_frame" 1 instead of 0: a span's end is then
still the frame where it ends, unless "end_inclusive" says that this frame belongs to it. "rounded": true takes
times finer than a microsecond to the nearest one instead of rejecting them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from annotations.corpora.importers.rows import BadField
from annotations.corpora.importers.tabular import DELIMITERS
from annotations.corpora.importers.times import UNITS, rate_of

TEXT_KINDS: Final = ("crash_description", "causal_reasoning", "prevention_reasoning")
YES: Final = ("1", "1.0", "yes", "y", "true", "t", "crash", "accident", "collision", "positive")
NO: Final = ("0", "0.0", "no", "n", "false", "f", "no crash", "no accident", "normal", "negative")
FRAMES: Final = "frames"
REST: Final = "rest"
_COLUMNS: Final = ("name", "path", "url")
_SOURCED: Final = ("source", "recording", "split")
_TIME_COLUMNS: Final = {"crash_localization": ("start", "end"), "pre_crash_localization": ("at",)}
_TIME_OPTIONS: Final = ("unit", "fps", "first_frame", "end_inclusive", "rounded")


@dataclass(frozen=True, slots=True)
class MappingProblem:
    """What is wrong with a mapping: at which of its fields, with which column (or "")."""

    field: str
    column: str
    message: str


@dataclass(frozen=True, slots=True)
class Said:
    """A text that a column gives, or that is the same for every row."""

    column: str = ""
    constant: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """`yes` and `no`: cells in lower case."""

    column: str
    yes: frozenset[str]
    no: frozenset[str]


@dataclass(frozen=True, slots=True)
class Times:
    """`columns`: start and end, or the instant. `fps` with unit frames: a rate, or the column that gives it."""

    columns: tuple[str, ...]
    unit: str = "seconds"
    fps: Fraction | str | None = None
    first_frame: int = 0
    end_inclusive: bool = False
    rounded: bool = False


@dataclass(frozen=True)
class ColumnMapping:
    """A mapping that has been read. `metadata` None: every column that is not named elsewhere."""

    columns: dict[str, str]
    said: dict[str, Said]
    recognition: Label | None
    times: dict[str, Times]
    metadata: tuple[str, ...] | None
    not_given: frozenset[str]
    delimiter: str

    @property
    def named(self) -> list[tuple[str, str]]:
        """(field, column) of every column that the mapping names, metadata among them."""
        found = [*self.columns.items(), *((field, said.column) for field, said in self.said.items())]
        if self.recognition is not None:
            found.append(("crash_recognition", self.recognition.column))
        for kind, times in self.times.items():
            found += [(kind, column) for column in times.columns]
            found += [(kind, times.fps)] if isinstance(times.fps, str) else []
        found += [("metadata", column) for column in self.metadata or ()]
        return [(field, column) for field, column in found if column]


class MappingRefused(ValueError):
    """A mapping that cannot be used."""

    def __init__(self, problems: list[MappingProblem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems


def check_mapping(mapping: object, columns: Iterable[str] | None = None) -> list[MappingProblem]:
    """Everything that is wrong with a mapping, by itself and, where they are given, against a table's columns."""
    reader = _Reader()
    read = reader.read(mapping)
    return reader.problems + (missing_columns(read, columns) if columns is not None else [])


def missing_columns(mapping: ColumnMapping, columns: Iterable[str]) -> list[MappingProblem]:
    """The columns that a mapping names and a table does not have."""
    known = set(columns)
    return [
        MappingProblem(field, column, f"{field}: the table has no column {column!r}")
        for field, column in mapping.named
        if column not in known
    ]


def parse_mapping(mapping: object) -> ColumnMapping:
    """A mapping, read; MappingRefused with every problem."""
    reader = _Reader()
    read = reader.read(mapping)
    if reader.problems:
        raise MappingRefused(reader.problems)
    return read


class _Reader:
    """Reads a mapping and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[MappingProblem] = []

    def wrong(self, field: str, message: str, column: str = "") -> None:
        self.problems.append(MappingProblem(field, column, f"{field}: {message}" if field else message))

    def read(self, mapping: object) -> ColumnMapping:
        if not isinstance(mapping, dict):
            self.wrong("", f"a mapping is an object of fields, not {type(mapping).__name__}")
            mapping = {}
        known = {
            *_COLUMNS, *_SOURCED, *TEXT_KINDS, *_TIME_COLUMNS, "crash_recognition", "metadata", "not_given",
            "delimiter",
        }  # fmt: skip
        for field in mapping:
            if field not in known:
                self.wrong(str(field)[:60], f"there is no such field; there are {', '.join(sorted(known))}")
        present = {field: value for field, value in mapping.items() if value not in (None, "", {}, [])}
        columns = {
            field: column
            for field in (*_COLUMNS, *TEXT_KINDS)
            if field in present and (column := self.column(field, present[field]))
        }
        if not any(field in present for field in _COLUMNS):
            self.wrong("name", "say which column names the clip (or give path or url)")
        return ColumnMapping(
            columns=columns,
            said={
                field: said
                for field in _SOURCED
                if field in present and (said := self.said(field, present[field])) is not None
            },
            recognition=self.label(present.get("crash_recognition")),
            times={
                kind: times
                for kind in _TIME_COLUMNS
                if kind in present and (times := self.times(kind, present[kind])) is not None
            },
            metadata=self.metadata(mapping.get("metadata", REST)),
            not_given=frozenset(
                text.strip() for text in self.texts("not_given", present.get("not_given", []))
            ),
            delimiter=self.delimiter(present.get("delimiter", "")),
        )

    def column(self, field: str, value: object) -> str:
        if isinstance(value, dict) and value.keys() == {"column"}:
            value = value["column"]
        if not isinstance(value, str) or not value.strip():
            self.wrong(field, "must be the name of a column")
            return ""
        return value.strip()

    def texts(self, field: str, value: object) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.wrong(field, "must be a list of texts")
            return []
        return value

    def said(self, field: str, value: object) -> Said | None:
        if isinstance(value, dict) and value.keys() == {"constant"}:
            constant = value["constant"]
            if not isinstance(constant, str) or not constant.strip():
                self.wrong(field, "the constant must be a text")
                return None
            return Said(constant=constant.strip())
        column = self.column(field, value)
        return Said(column=column) if column else None

    def label(self, value: object) -> Label | None:
        field = "crash_recognition"
        if value is None:
            return None
        if isinstance(value, str):
            value = {"column": value}
        if not isinstance(value, dict):
            self.wrong(field, 'must be {"column": ..., "yes": [...], "no": [...]}')
            return None
        self.unknown(field, value, ("column", "yes", "no"))
        column = self.column(field, value.get("column"))
        words = {
            side: frozenset(text.strip().lower() for text in self.texts(f"{field}.{side}", value[side]))
            if side in value
            else frozenset(default)
            for side, default in (("yes", YES), ("no", NO))
        }
        for word in sorted(words["yes"] & words["no"]):
            self.wrong(field, f"{word!r} would mean both yes and no", column)
        if not words["yes"] | words["no"]:
            self.wrong(field, "say which cells mean yes and which mean no", column)
        return Label(column, words["yes"], words["no"]) if column else None

    def times(self, kind: str, value: object) -> Times | None:
        names = _TIME_COLUMNS[kind]
        if isinstance(value, str) and len(names) == 1:
            value = {names[0]: value}
        if not isinstance(value, dict):
            self.wrong(kind, f"must name its {' and '.join(names)} column")
            return None
        self.unknown(kind, value, (*names, *_TIME_OPTIONS))
        columns = tuple(self.column(f"{kind}.{name}", value.get(name)) for name in names)
        unit = value.get("unit", "seconds")
        if unit not in (*UNITS, FRAMES):
            self.wrong(kind, f"the unit must be one of {', '.join((*UNITS, FRAMES))}", columns[0])
            unit = "seconds"
        for flag in ("end_inclusive", "rounded"):
            if not isinstance(value.get(flag, False), bool):
                self.wrong(f"{kind}.{flag}", "must be true or false", columns[0])
        first = value.get("first_frame", 0)
        if isinstance(first, bool) or first not in (0, 1):
            self.wrong(f"{kind}.first_frame", "must be 0 or 1", columns[0])
            first = 0
        fps = self.rate(kind, value.get("fps")) if unit == FRAMES else None
        if unit == FRAMES and value.get("fps") in (None, "", {}):
            self.wrong(kind, "frames need fps: a rate, or the column that gives it", columns[0])
        if not all(columns):
            return None
        return Times(
            columns, unit, fps, int(first), value.get("end_inclusive") is True, value.get("rounded") is True
        )

    def rate(self, kind: str, value: object) -> Fraction | str | None:
        if value in (None, "", {}):
            return None
        if isinstance(value, dict):
            return self.column(f"{kind}.fps", value) or None
        try:
            return rate_of(value, "fps")
        except BadField as problem:
            self.wrong(f"{kind}.fps", problem.reason)
            return None

    def metadata(self, value: object) -> tuple[str, ...] | None:
        if value == REST or value is None:
            return None
        if isinstance(value, str):
            self.wrong("metadata", 'must be "rest" or a list of columns')
            return ()
        return tuple(text.strip() for text in self.texts("metadata", value) if text.strip())

    def delimiter(self, value: object) -> str:
        if value in ("tab", "\\t"):
            return "\t"
        if value in ("", *DELIMITERS):
            return str(value)
        self.wrong("delimiter", "must be one of , ; tab |")
        return ""

    def unknown(self, field: str, value: Mapping[Any, Any], known: Sequence[str]) -> None:
        for key in value:
            if key not in known:
                self.wrong(field, f"there is no {str(key)[:60]!r}; there are {', '.join(known)}")
