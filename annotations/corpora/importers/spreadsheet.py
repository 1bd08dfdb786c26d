"""Sheets of .xlsx and .xls workbooks, row by row.

openpyxl reads .xlsx without holding a sheet in memory; xlrd reads .xls, whose sheets are small by their format. A
reader that lays a sheet out as a rectangle in memory is no choice here: one stray cell in the last row and column
makes it ask for hundreds of gigabytes, which ends the process.
"""

import datetime
import io
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import openpyxl
import xlrd

from annotations.corpora.importers.tabular import TableError, printable

MAX_UNPACKED: Final = 512 << 20
"""Bytes of a workbook, unpacked: shared texts are held in memory while it is read."""

_XLSX, _XLS = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_MOST_COLUMNS = 64
_LONGEST_GAP = 50_000

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Sheet:
    """`rows`: (row's number from 1, its cells), rows without any cell left out; to be read once, in order."""

    name: str
    rows: Iterator[tuple[int, list[Cell]]]


@contextmanager
def open_sheets(path: Path) -> Iterator[Iterator[Sheet]]:
    """The sheets of a workbook, whatever its suffix says. TableError when it is none, damaged or far too large."""
    with path.open("rb") as stream:
        magic = stream.read(4)
        stream.seek(0)
        if magic == _XLSX:
            yield _xlsx(stream)
        elif magic == _XLS:
            yield _xls(stream)
        else:
            raise TableError("this is neither an .xlsx nor an .xls workbook")


def _xlsx(stream: BinaryIO) -> Iterator[Sheet]:
    with _as_table_error(), zipfile.ZipFile(stream) as archive:
        unpacked = sum(item.file_size for item in archive.infolist())
    if unpacked > MAX_UNPACKED:
        raise TableError(
            f"the workbook unpacks to {unpacked >> 20} MiB; at most {MAX_UNPACKED >> 20} are read"
        )
    stream.seek(0)
    with _as_table_error():
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
    with closing(book):
        for sheet in book.worksheets:
            # What a sheet says of its own size is wrong often enough, and sets how wide rows are made.
            sheet.reset_dimensions()
            yield Sheet(printable(sheet.title), _xlsx_rows(sheet))


def _xlsx_rows(sheet: Any) -> Iterator[tuple[int, list[Cell]]]:
    rows = sheet.iter_rows(max_col=_MOST_COLUMNS, values_only=True)
    number = last = 0
    while True:
        with _as_table_error(number + 1):
            cells = next(rows, None)
        if cells is None:
            return
        number += 1
        if cells.count(None) < len(cells):
            last = number
            yield number, [_plain(cell) for cell in cells]
        elif number - last > _LONGEST_GAP:
            raise TableError(
                f"more than {_LONGEST_GAP} empty rows follow; the rest of the sheet is not read", last
            )


def _xls(stream: BinaryIO) -> Iterator[Sheet]:
    content = stream.read(MAX_UNPACKED + 1)
    if len(content) > MAX_UNPACKED:
        raise TableError(f"the workbook is larger than {MAX_UNPACKED >> 20} MiB")
    with _as_table_error():
        book = xlrd.open_workbook(
            file_contents=content, logfile=io.StringIO(), on_demand=True, ragged_rows=True
        )
    try:
        for place in range(book.nsheets):
            with _as_table_error():
                sheet = book.sheet_by_index(place)
            yield Sheet(printable(sheet.name), _xls_rows(sheet))
            book.unload_sheet(place)
    finally:
        book.release_resources()


def _xls_rows(sheet: xlrd.sheet.Sheet) -> Iterator[tuple[int, list[Cell]]]:
    for place in range(sheet.nrows):
        with _as_table_error(place + 1):
            cells = sheet.row(place)[:_MOST_COLUMNS]
        if any(cell.ctype not in (xlrd.XL_CELL_EMPTY, xlrd.XL_CELL_BLANK) for cell in cells):
            yield place + 1, [_xls_cell(cell) for cell in cells]


def _xls_cell(cell: Any) -> Cell:
    if cell.ctype == xlrd.XL_CELL_ERROR:
        return str(xlrd.error_text_from_code.get(cell.value, "#ERROR"))
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    return _plain(cell.value)


def _plain(value: Any) -> Cell:
    """A cell as JSON can keep it: whole numbers as int, dates as ISO text, empty text as nothing."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value) or None


@contextmanager
def _as_table_error(line: int | None = None) -> Iterator[None]:
    """What the libraries raise on damaged files is whatever their parsing stumbles over; it all means one thing.

    Their warnings speak of looks (styles, validations) that nothing here reads.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (StopIteration, TableError):
        raise
    except Exception as error:
        what = "the rest of the sheet cannot be read" if line else "the workbook cannot be read"
        raise TableError(f"{what}: {type(error).__name__}: {printable(str(error)[:160])}", line) from error
