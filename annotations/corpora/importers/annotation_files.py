"""Finding a dataset's annotation files and reading text ones line by line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from annotations.corpora.importers.json_stream import Unreadable
from annotations.corpora.importers.reading import Reading, unreadable
from annotations.corpora.importers.rows import BadField, Rejection, VideoRow

LONGEST_LINE: Final = 1 << 16
"""Bytes; a longer line is a rejection."""
ANNOTATION_SUFFIXES: Final = frozenset(
    {".txt", ".json", ".pkl", ".pickle", ".csv", ".xlsx", ".xls", ".xml", ".md"}
)

Row = VideoRow | Rejection
T = TypeVar("T")
Role = TypeVar("Role")


def find(
    reading: Reading, role_of: Callable[[Path], Role | None], *, single: Role | None = None
) -> list[tuple[Path, Role]]:
    """The files at the path that have a role in the format, with their roles, sorted by path.

    Other files that look like annotations are noted as left aside. A path that is a file itself is read whatever
    it is called: its role is what its name tells, else `single`.
    """
    if not reading.path.is_dir():
        role = role_of(reading.path) or single
        return [] if role is None else [(reading.path, role)]
    found: list[tuple[Path, Role]] = []
    aside: list[str] = []
    for path in sorted(filter(_looks_like_annotations, reading.path.rglob("*"))):
        role = role_of(path)
        if role is None:
            aside.append(reading.name_of(path))
        else:
            found.append((path, role))
    reading.left_aside = aside
    return found


def _looks_like_annotations(path: Path) -> bool:
    return path.suffix.lower() in ANNOTATION_SUFFIXES and not path.name.startswith(".") and path.is_file()


def each(
    reading: Reading, files: list[Path], read: Callable[[BinaryIO, str, Path], Iterator[Row | T]]
) -> Iterator[Row | T]:
    """What `read(stream, name, path)` finds in each file; a file that cannot be opened or read is a rejection."""
    for path in files:
        name = reading.name_of(path)
        try:
            with reading.open(path) as stream:
                yield from read(stream, name, path)
        except OSError as error:
            yield unreadable(name, error)


def expect(reading: Reading, files: list[Path]) -> None:
    """Tell what will be read, leaving out what is gone already: it is named when its turn comes."""
    reading.expect([file for file in files if file.is_file()])


def nothing_found(reading: Reading, wanted: str) -> Rejection:
    """The rejection of a path that holds no file of the format."""
    return Rejection(reading.name_of(reading.path), None, "", f"holds no {wanted}")


def lines(stream: BinaryIO) -> Iterator[tuple[int, str | BadField]]:
    """The lines that are not blank as (row from 1, text without its end and outer white space).

    In place of its text a line has a BadField when it is too long or no UTF-8 text. Unreadable when the file is no
    text at all.
    """
    start = stream.tell()
    if b"\x00" in stream.read(4096):
        raise Unreadable("not a text file: it holds NUL characters")
    stream.seek(start)
    row = 0
    while line := stream.readline(LONGEST_LINE):
        row += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            yield row, BadField("", f"the line is longer than {LONGEST_LINE} bytes")
            continue
        try:
            text = line.decode("utf-8-sig" if row == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            yield row, BadField("", f"the line is no UTF-8 text: {error.reason}")
            continue
        if "\x00" in text:
            yield row, BadField("", "the line holds a NUL character")
        elif text:
            yield row, text


def text_rows(stream: BinaryIO, *, file: str, read: Callable[[str, int], T]) -> Iterator[T | Rejection]:
    """What `read(text, row)` makes of each line; its BadField is the line's rejection."""
    try:
        for row, text in lines(stream):
            try:
                if isinstance(text, BadField):
                    raise text
                yield read(text, row)
            except BadField as problem:
                yield Rejection(file, row, problem.field, problem.reason)
    except Unreadable as error:
        yield Rejection(file, None, "", str(error))


class Named:
    """Which clips were named where, so that none is taken twice."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[str, int]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def take(self, name: str, file: str, row: int, *, field: str) -> None:
        """Note the clip. BadField when it was named before."""
        if name in self._places:
            where, earlier = self._places[name]
            place = f"row {earlier}" if where == file else f"row {earlier} of {where}"
            raise BadField(field, f"{name} is named by {place} already")
        self._places[name] = (file, row)
