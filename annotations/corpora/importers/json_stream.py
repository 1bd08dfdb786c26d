"""Rows of a JSON file one at a time, in bounded memory, whatever the file holds.

ijson's C parser is fast, but two kinds of hostile files end the process instead of raising: an integer of more than
4,300 digits (a crash: Python's limit on int() is not checked, seen in ijson 3.6.0) and brackets nested a hundred
thousand deep (the path of each level is kept, so memory grows with the square of the depth). `Guarded` looks at the
bytes before the parser does and raises first.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO, Final

import ijson

from annotations.corpora.importers.rows import BadField, Rejection

BUFFER: Final = 1 << 18
"""Bytes read at a time: with the parser's own 64 KiB its restarts take longer than the parsing."""
MAX_DEPTH: Final = 32
MAX_DIGITS: Final = 1000
MAX_ROW_BYTES: Final = 64 * 1024 * 1024

_MARK: Final = b"\xef\xbb\xbf"
_WHITE: Final = b" \t\r\n"
_DIGITS: Final = re.compile(rb"[0-9]{%d}" % (MAX_DIGITS + 1))
_ESCAPED: Final = re.compile(rb"\\[\s\S]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_MAX_EXPONENT: Final = 400


class Unreadable(ValueError):
    """The file cannot be read on from here. `row` (from 1): where it breaks, None for the whole file."""

    def __init__(self, reason: str, row: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.row = reason, row


class Guarded:
    """A stream that a JSON parser may read: Unreadable where going on would endanger the process."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._depth = 0
        self._in_string = False
        self._held = b""
        self._tail = b""
        self._row_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, after a look at them."""
        chunk = self._stream.read(size)
        seen = self._tail + chunk
        if _DIGITS.search(seen):
            raise Unreadable(f"a number of more than {MAX_DIGITS} digits")
        self._tail = seen[-MAX_DIGITS:]
        self._measure(chunk)
        return chunk

    def _measure(self, chunk: bytes) -> None:
        """Follow the nesting of brackets, and how long the row under way is."""
        data = self._held + chunk
        open_escape = (len(data) - len(data.rstrip(b"\\"))) % 2
        data, self._held = (data[:-1], b"\\") if open_escape else (data, b"")
        between_rows = False
        for index, part in enumerate(_ESCAPED.sub(b"", data).split(b'"')):
            if index:
                self._in_string = not self._in_string
            if self._in_string:
                continue
            between_rows = between_rows or self._depth <= 1
            for bracket in part.translate(None, _NOT_BRACKETS):
                self._depth += 1 if bracket in b"[{" else -1
                between_rows = between_rows or self._depth <= 1
                if self._depth > MAX_DEPTH:
                    raise Unreadable(f"brackets nested more than {MAX_DEPTH} deep")
        self._row_bytes = 0 if between_rows else self._row_bytes + len(chunk)
        if self._row_bytes > MAX_ROW_BYTES:
            raise Unreadable(f"a row of more than {MAX_ROW_BYTES >> 20} MiB")


def entries(stream: BinaryIO, *, file: str) -> Iterator[tuple[int, str, Any] | Rejection]:
    """The entries of a JSON object as (row from 1, key, value); at most one Rejection, the last, of the whole file.

    A key that occurs twice comes twice. Values are plain: see `plain`; one that is not is a BadField in its place.
    """
    yield from _plain_rows(stream, file=file, opening=b"{", what="object")


def items(stream: BinaryIO, *, file: str) -> Iterator[tuple[int, Any] | Rejection]:
    """The items of a JSON list as (row from 1, value); else like `entries`."""
    for found in _plain_rows(stream, file=file, opening=b"[", what="list"):
        yield found if isinstance(found, Rejection) else (found[0], found[2])


def plain(value: Any) -> Any:
    """A parsed value with int and float for Decimal. BadField for a number that has no place in a float."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        if not value.is_finite() or (value and abs(value.adjusted()) > _MAX_EXPONENT):
            raise BadField("", "holds a number too large or too small to be stored")
        number = float(value)
        if number in (float("inf"), float("-inf")):
            raise BadField("", "holds a number too large or too small to be stored")
        return number
    return value


def json_rows(
    stream: BinaryIO, *, opening: bytes, what: str, empty: str = "it is empty"
) -> Iterator[tuple[int, str, Any]]:
    """The items of a JSON list (`opening` b"[", every key "") or the entries of an object (b"{"), with their keys.

    As (row from 1, key, value), one in memory at a time; numbers with a point or an exponent are Decimal. Unreadable
    where it breaks, and when the file is no `what`; `empty` says how one without anything is spoken of.
    """
    first = _first_character(stream)
    if first != opening:
        found = f"it begins with {first.decode(errors='replace')!r}" if first else empty
        raise Unreadable(f"not a JSON {what}: {found}")
    guarded = Guarded(stream)
    found_rows: Iterator[tuple[str, Any]] = (
        ijson.kvitems(guarded, "", buf_size=BUFFER)
        if opening == b"{"
        else (("", value) for value in ijson.items(guarded, "item", buf_size=BUFFER))
    )
    row = 0
    while True:
        try:
            key, value = next(found_rows)
        except StopIteration:
            return
        except (ijson.JSONError, Unreadable, UnicodeDecodeError, ArithmeticError, RecursionError) as error:
            reason = f"the JSON breaks here, the rest is not read: {_why(error)}"
            raise Unreadable(reason, row + 1) from error
        row += 1
        yield row, key, value


def _plain_rows(
    stream: BinaryIO, *, file: str, opening: bytes, what: str
) -> Iterator[tuple[int, str, Any] | Rejection]:
    try:
        for row, key, value in json_rows(stream, opening=opening, what=what):
            try:
                yield row, key, plain(value)
            except BadField as problem:
                yield row, key, problem
    except Unreadable as error:
        yield Rejection(file, error.row, "", error.reason)


def _why(error: Exception) -> str:
    """The parser's first line; the C parser hands over bytes, the decimal module classes."""
    if isinstance(error, ArithmeticError):
        return "a number that is out of all bounds"
    text = error.args[0] if error.args else error
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    return str(text).strip().split("\n")[0].replace("\x00", "?")[:200]


def _first_character(stream: BinaryIO) -> bytes:
    """The first byte that is neither byte order mark nor white space; the stream is left before it."""
    start = stream.tell()
    if stream.read(len(_MARK)) == _MARK:
        start += len(_MARK)
    stream.seek(start)
    while (first := stream.read(1)) and first in _WHITE:
        start += 1
    stream.seek(start)
    return first
