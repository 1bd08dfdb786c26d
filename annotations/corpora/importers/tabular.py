"""Tables as rows of named cells, whatever their writing: CSV and its relatives, JSON lines, a JSON list.

Rows come one at a time, each with the line where it begins in the file (from 1, as an editor counts; in a JSON list
its place in the list). A row that cannot be read is a BadRow and the reading goes on; TableError ends a file.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from annotations.corpora.importers.json_stream import Unreadable, json_rows
from annotations.corpora.importers.rows import BadField

DELIMITERS: Final = (",", ";", "\t", "|")
MAX_COLUMNS: Final = 2000
_LONGEST_LINE = 1 << 20
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 30
_DEEPEST = 50

TableKind = Literal["delimited", "lines", "list"]
_KINDS: Final[dict[str, TableKind]] = {
    ".csv": "delimited", ".tsv": "delimited", ".tab": "delimited", ".psv": "delimited", ".txt": "delimited",
    ".jsonl": "lines", ".ndjson": "lines", ".json": "list",
}  # fmt: skip
_NO_TABLES: Final = (
    (b"PK\x03\x04", "it is a zip archive or an .xlsx workbook"),
    (b"\xd0\xcf\x11\xe0", "it is an .xls workbook"),
    (b"PAR1", "it is a Parquet file"),
    (b"\x1f\x8b", "it is compressed"),
    (b"\xff\xfe", "its text is UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "its text is UTF-16; save it as UTF-8"),
)


class TableError(Exception):
    """A file, or the rest of it, cannot be read as a table. `line`: where it breaks, None for the whole file."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


@dataclass(frozen=True, slots=True)
class Row:
    """`cells` by column; text in CSV, any JSON value (numbers with a point as Decimal) in the JSON writings."""

    line: int
    cells: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    line: int
    reason: str


def kind_of(file: Path) -> TableKind | None:
    """How a file of this name is written, or None when its name tells no table."""
    return _KINDS.get(file.suffix.lower())


def read_rows(stream: BinaryIO, kind: TableKind, *, delimiter: str = "") -> Iterator[Row | BadRow]:
    """The rows of a table whose stream stands at its beginning. `delimiter` of a "delimited" one: "" finds it.

    Raises TableError, also after some rows.
    """
    head = stream.read(_SAMPLE_BYTES)
    for magic, what in _NO_TABLES:
        if head.startswith(magic):
            raise TableError(f"this is no table in text: {what}")
    stream.seek(3 if head.startswith(b"\xef\xbb\xbf") else 0)
    if kind == "delimited":
        return _delimited(stream, delimiter or sniff(head.removeprefix(b"\xef\xbb\xbf")))
    if kind == "lines":
        return _json_lines(stream)
    return _json_list(stream)


def sniff(head: bytes) -> str:
    """The one of DELIMITERS that splits the first rows most evenly; a comma when none splits the header."""
    sample = head.decode(errors="replace")
    if len(head) >= _SAMPLE_BYTES:
        sample = sample[: max(sample.rfind("\n"), 0)] or sample

    def evenness(delimiter: str) -> tuple[float, int]:
        rows = _sample_rows(sample, delimiter)
        width = len(rows[0]) if rows else 0
        alike = sum(len(row) == width for row in rows) / len(rows) if width > 1 else 0.0
        return (alike, width)

    return max(DELIMITERS, key=evenness)


def _sample_rows(sample: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
    try:
        rows.extend(row for row in islice(reader, _SAMPLE_ROWS) if row)
    except csv.Error:
        return rows
    return rows


def _delimited(stream: BinaryIO, delimiter: str) -> Iterator[Row | BadRow]:
    """Bytes that are not UTF-8 travel as half surrogates, so that only the rows that hold them are refused."""
    text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
    try:
        yield from _csv_rows(text, delimiter)
    finally:
        text.detach()


def _csv_rows(text: io.TextIOWrapper, delimiter: str) -> Iterator[Row | BadRow]:
    reader = csv.reader(_short_lines(text), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            if header is None:
                raise TableError("the file is empty") from None
            return
        except csv.Error as error:
            span = f" (lines {line} to {reader.line_num})" if reader.line_num > line else ""
            if header is None:
                raise TableError(f"the header cannot be read: {error}{span}", line) from error
            yield BadRow(line, f"the row cannot be split into cells: {error}{span}")
            continue
        if header is None:
            header = checked_header(cells, line) if any(cell.strip() for cell in cells) else None
        elif any(cells):
            yield _row(header, cells, line)


def _short_lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST_LINE):
        number += 1
        if len(line) >= _LONGEST_LINE and not line.endswith(("\n", "\r")):
            raise TableError(
                f"the line is longer than {_LONGEST_LINE} characters; the rest is not read", number
            )
        yield line


def checked_header(cells: Sequence[str], line: int) -> list[str]:
    """Column names, trimmed; a column without a name is called by its place. TableError when two have one name."""
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, start=1)]
    if len(names) > MAX_COLUMNS:
        raise TableError(f"the header has {len(names)} columns; at most {MAX_COLUMNS} are read", line)
    seen: set[str] = set()
    for name in names:
        if not _is_text(name) or "\x00" in name:
            raise TableError("the header is not UTF-8 text; save the file as UTF-8", line)
        if name in seen:
            raise TableError(f"two columns are called {name!r}", line)
        seen.add(name)
    return names


def _row(header: list[str], cells: list[str], line: int) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(line, f"has {len(cells)} cells where the header has {len(header)}")
    for name, cell in zip(header, cells, strict=True):
        if not _is_text(cell):
            return BadRow(line, f"{name} is not UTF-8 text; save the file as UTF-8")
    return Row(line, dict(zip(header, cells, strict=True)))


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _json_lines(stream: BinaryIO) -> Iterator[Row | BadRow]:
    number = 0
    while line := stream.readline(_LONGEST_LINE):
        number += 1
        if len(line) >= _LONGEST_LINE and not line.endswith(b"\n"):
            raise TableError(f"the line is longer than {_LONGEST_LINE} bytes; the rest is not read", number)
        if not line.strip():
            continue
        try:
            record = json.loads(line, parse_float=Decimal)
        except UnicodeDecodeError:
            yield BadRow(number, "the line is not UTF-8 text; save the file as UTF-8")
        except (ValueError, RecursionError) as error:
            yield BadRow(number, f"the line is no JSON: {printable(str(error))}")
        else:
            yield _record_row(record, number)


def _json_list(stream: BinaryIO) -> Iterator[Row | BadRow]:
    for number, record in json_items(stream):
        yield _record_row(record, number)


def json_items(stream: BinaryIO) -> Iterator[tuple[int, Any]]:
    """The items of a JSON list with their places from 1, one in memory at a time; TableError where it breaks."""
    try:
        for number, _, item in json_rows(
            stream, opening=b"[", what="list of rows", empty="the file is empty"
        ):
            yield number, item
    except Unreadable as error:
        raise TableError(error.reason, error.row) from error


def printable(text: str) -> str:
    """`text` without the characters that no database text can hold: for what is quoted from a file in a reason."""
    return text.replace("\x00", "?").encode(errors="replace").decode()


def _record_row(record: Any, number: int) -> Row | BadRow:
    if not isinstance(record, dict):
        return BadRow(number, f"the row is no object but {type(record).__name__}")
    if len(record) > MAX_COLUMNS:
        return BadRow(number, f"the row has {len(record)} fields; at most {MAX_COLUMNS} are read")
    return Row(number, record)


def cell_text(cell: Any, column: str) -> str:
    """A cell as trimmed text, "" when it says nothing. BadField when it holds a list or an object."""
    if isinstance(cell, str):
        return cell.strip()
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float | Decimal):
        return str(cell)
    raise BadField(column, f"must be text, not {type(cell).__name__}")


def plain(value: Any, column: str = "", *, depth: int = 0) -> Any:
    """A JSON value, its Decimals as int or float of the same writing. BadField when nested or large beyond use."""
    if depth > _DEEPEST:
        raise BadField(column, f"is nested deeper than {_DEEPEST} levels")
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > 300:
            raise BadField(column, f"{str(value)[:40]} is too large or too small a number")
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {key: plain(item, column, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, column, depth=depth + 1) for item in value]
    return value
