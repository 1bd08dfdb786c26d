"""Reader of any table of clips: CSV, TSV, JSON lines or a JSON list, read through a column mapping.

It is also the manifest with paths or addresses plus metadata columns. The mapping (column_mapping) comes as the
option "mapping"; a corpus keeps it. One row is one clip. A cell that cannot be used as an answer costs the row that
answer only; a row whose clip cannot be named, or lies outside the folder, is rejected whole.
"""

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final
from urllib.parse import unquote, urlsplit

from annotations.corpora.importers.column_mapping import (
    FRAMES,
    TEXT_KINDS,
    ColumnMapping,
    MappingRefused,
    Times,
    missing_columns,
    parse_mapping,
)
from annotations.corpora.importers.reading import Format, Reading, files_at, unreadable
from annotations.corpora.importers.rows import (
    MAX_FIELD,
    MAX_NAME,
    MAX_RECORDING,
    MAX_SOURCE,
    MAX_SPLIT,
    MAX_URL,
    BadField,
    GivenAnswer,
    Rejection,
    VideoRow,
    checked_metadata,
    checked_name,
    checked_text,
    kept_record,
)
from annotations.corpora.importers.tabular import (
    BadRow,
    Row,
    TableError,
    cell_text,
    kind_of,
    plain,
    read_rows,
)
from annotations.corpora.importers.times import frame_of, frame_us, rate_of, time_us

_SCHEMES: Final = ("http", "https", "s3")


def files_of(path: Path) -> list[Path]:
    """The tables to read: `path` itself, or all below the folder, sorted by name."""
    return files_at(path, lambda file: kind_of(file) is not None)


def read(reading: Reading) -> Generator[VideoRow | Rejection, None, None]:
    """The clips of every table at the path. Without a usable mapping each of its problems is a rejection."""
    try:
        mapping = parse_mapping(reading.options.get("mapping", {}))
    except MappingRefused as refused:
        for problem in refused.problems:
            yield Rejection(
                reading.name_of(reading.path), None, problem.field[:MAX_FIELD], f"column mapping: {problem.message}"
            )  # fmt: skip
        return
    files = files_of(reading.path)
    reading.expect(files)
    for file in files:
        try:
            with reading.open(file) as stream:
                yield from read_stream(stream, file=file, reading=reading, mapping=mapping)
        except OSError as error:
            yield unreadable(reading.name_of(file), error)


def read_stream(
    stream: BinaryIO, *, file: Path, reading: Reading, mapping: ColumnMapping
) -> Iterator[VideoRow | Rejection]:
    """The clips of one table. A second row for a clip is rejected; a file that breaks ends with a rejection."""
    taker = _Taker(reading.name_of(file), file.parent, reading.root, mapping)
    kind = kind_of(file) or "delimited"
    try:
        for row in read_rows(stream, kind, delimiter=mapping.delimiter):
            if isinstance(row, BadRow):
                yield Rejection(taker.file, row.line, "", row.reason)
                continue
            if kind == "delimited" and not taker.header_checked:
                if missing := missing_columns(mapping, row.cells):
                    for problem in missing:
                        yield Rejection(taker.file, None, problem.field, problem.message)
                    return
                taker.header_checked = True
            yield from taker.take(row)
    except TableError as error:
        yield Rejection(taker.file, error.line, "", error.reason)


@dataclass
class _Taker:
    """Turns the rows of one table into clips."""

    file: str
    folder: Path
    root: Path
    mapping: ColumnMapping
    header_checked: bool = False
    named: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root = self.root.resolve()
        self.elsewhere = {column for _, column in self.mapping.named}

    def take(self, row: Row) -> Iterator[VideoRow | Rejection]:
        name = ""
        try:
            url = self.url(row.cells)
            path, missing = self.path(row.cells)
            name = self.name(row.cells, url)
            if name in self.named:
                raise BadField(self.name_column, f"{name} is named by row {self.named[name]} already")
            answers, lost = self.answers(row, name)
            recording = self.said("recording", row.cells, MAX_RECORDING)
            video = VideoRow(
                file=self.file,
                row=row.line,
                name=name,
                source=self.said("source", row.cells, MAX_SOURCE),
                recording=recording or str(PurePosixPath(name).with_suffix(""))[-MAX_RECORDING:],
                recording_origin="format" if recording else "name",
                path=path,
                metadata=checked_metadata(self.metadata(row.cells), "metadata"),
                split=self.said("split", row.cells, MAX_SPLIT),
                url=url,
                answers=answers,
                record=kept_record(plain(row.cells)),
            )
        except BadField as problem:
            yield Rejection(self.file, row.line, problem.field[:MAX_FIELD], problem.reason, name=name)
            return
        self.named[name] = row.line
        if missing:
            lost.append(
                Rejection(self.file, row.line, self.mapping.columns["path"][:MAX_FIELD], missing, name=name)
            )
        yield from lost
        yield video

    def cell(self, cells: dict[str, Any], column: str) -> str:
        text = cell_text(cells.get(column), column)
        return "" if text in self.mapping.not_given else text

    def said(self, field_name: str, cells: dict[str, Any], limit: int) -> str:
        said = self.mapping.said.get(field_name)
        if said is None:
            return ""
        column = said.column or field_name
        text = self.cell(cells, said.column) if said.column else said.constant
        return checked_text(text, column, limit=limit)

    def url(self, cells: dict[str, Any]) -> str:
        column = self.mapping.columns.get("url", "")
        text = checked_text(self.cell(cells, column), column, limit=MAX_URL) if column else ""
        if text:
            try:
                parts = urlsplit(text)
                usable = (
                    parts.scheme in _SCHEMES
                    and bool(parts.hostname)
                    and text.isprintable()
                    and " " not in text
                )
            except ValueError:
                usable = False
            if not usable:
                raise BadField(column, f"{text[:80]!r} is no address that begins with {', '.join(_SCHEMES)}")
        return text

    def path(self, cells: dict[str, Any]) -> tuple[Path | None, str]:
        """(the clip's file or None, why a file that is named cannot be had). BadField when it lies elsewhere."""
        column = self.mapping.columns.get("path", "")
        text = checked_text(self.cell(cells, column), column, limit=MAX_URL) if column else ""
        if not text:
            return None, ""
        path = self.folder / text
        try:
            if not path.resolve().is_relative_to(self.root):
                raise BadField(column, f"{text[:80]!r} lies outside the imported folder")
            return (path, "") if path.is_file() else (None, f"{text[:80]!r} is not there")
        except (OSError, RuntimeError) as error:  # a name too long, a loop of links
            return None, f"{text[:80]!r} cannot be looked up: {getattr(error, 'strerror', None) or error}"

    @property
    def name_column(self) -> str:
        columns = self.mapping.columns
        return columns.get("name") or columns.get("path") or columns.get("url", "")

    def name(self, cells: dict[str, Any], url: str) -> str:
        """The name cell; else the path as written; else the path of the address."""
        columns = self.mapping.columns
        if "name" in columns and (text := self.cell(cells, columns["name"])):
            return checked_name(text, columns["name"])
        if "path" in columns and (text := self.cell(cells, columns["path"])):
            path = (self.folder / text).resolve()
            return checked_name(path.relative_to(self.root).as_posix(), columns["path"])
        if url:
            below = PurePosixPath(unquote(urlsplit(url).path).lstrip("/"))
            return checked_name(str(below)[-MAX_NAME:].lstrip("/"), columns["url"])
        raise BadField(self.name_column, "is empty: nothing names the clip")

    def metadata(self, cells: dict[str, Any]) -> dict[str, Any]:
        wanted = self.mapping.metadata
        columns = [c for c in cells if c not in self.elsewhere] if wanted is None else wanted
        kept = {}
        for column in columns:
            value = plain(cells.get(column), "metadata")
            value = value.strip() if isinstance(value, str) else value
            if value not in (None, "", *self.mapping.not_given):
                kept[column] = value
        return kept

    def answers(self, row: Row, name: str) -> tuple[tuple[GivenAnswer, ...], list[Rejection]]:
        """What the row says on each kind, and the rejections of what cannot be used."""
        found: list[GivenAnswer] = []
        lost: list[Rejection] = []
        for kind in ("crash_recognition", *TEXT_KINDS, *self.mapping.times):
            try:
                answer = self.answer(kind, row.cells)
            except BadField as problem:
                lost.append(
                    Rejection(
                        self.file, row.line, problem.field[:MAX_FIELD], problem.reason, name=name, kind=kind
                    )
                )
                continue
            found += [answer] if answer is not None else []
        return tuple(found), lost

    def answer(self, kind: str, cells: dict[str, Any]) -> GivenAnswer | None:
        if kind == "crash_recognition":
            return self.recognition(cells)
        if kind in TEXT_KINDS:
            column = self.mapping.columns.get(kind, "")
            text = checked_text(self.cell(cells, column), column, limit=None) if column else ""
            return GivenAnswer(kind, {"text": text}, text) if text else None
        return self.times(kind, self.mapping.times[kind], cells)

    def recognition(self, cells: dict[str, Any]) -> GivenAnswer | None:
        label = self.mapping.recognition
        text = self.cell(cells, label.column) if label is not None else ""
        if label is None or not text:
            return None
        word = checked_text(text, label.column, limit=None).lower()
        if word not in label.yes | label.no:
            raise BadField(label.column, f"{text[:60]!r} is mapped to neither yes nor no")
        return GivenAnswer("crash_recognition", {"label": "yes" if word in label.yes else "no"}, text)

    def times(self, kind: str, times: Times, cells: dict[str, Any]) -> GivenAnswer | None:
        texts = [self.cell(cells, column) for column in times.columns]
        if not any(texts):
            return None
        for column, text in zip(times.columns, texts, strict=True):
            if not text:
                raise BadField(column, "is empty, but the other end of the span is given")
        unit, us = times.unit, []
        if times.unit == FRAMES:
            fps = times.fps
            if isinstance(fps, str):
                if not (cell := self.cell(cells, fps)):
                    raise BadField(fps, "is empty: frames have no time without a rate")
                fps = rate_of(cell, fps)
            assert fps is not None  # parse_mapping refuses frames without a rate
            unit = f"frames from {times.first_frame} at {fps} fps"
            for place, (column, text) in enumerate(zip(times.columns, texts, strict=True)):
                shift = 1 if place == 1 and times.end_inclusive else 0
                us.append(frame_us(frame_of(text, column) - times.first_frame + shift, fps, column))
            unit += ", the last one included" if times.end_inclusive and len(us) == 2 else ""
        else:
            for column, text in zip(times.columns, texts, strict=True):
                us.append(time_us(text, column, unit=times.unit, rounded=times.rounded))
        raw_text = f"{' - '.join(texts)} {unit}"
        if kind == "crash_localization":
            return GivenAnswer(kind, {"start_us": us[0], "end_us": us[1]}, raw_text)
        return GivenAnswer(kind, {"at_us": us[0]}, raw_text)


@dataclass(frozen=True)
class Look:
    """The beginning of a table: its columns in their order, its first rows, and what could not be read of it."""

    columns: list[str]
    rows: list[dict[str, Any]]
    problems: list[Rejection]


def look(path: Path, *, limit: int = 20, delimiter: str = "") -> Look:
    """The first rows of the first table at `path`, for a person to map its columns. JSON rows may differ in columns."""
    files = files_of(path)
    if not files:
        return Look([], [], [Rejection(path.name, None, "", "there is no table here")])
    reading = Reading(path)
    columns: dict[str, None] = {}
    rows: list[dict[str, Any]] = []
    problems: list[Rejection] = []
    file = reading.name_of(files[0])
    with reading.open(files[0]) as stream:
        try:
            for row in islice(
                read_rows(stream, kind_of(files[0]) or "delimited", delimiter=delimiter), limit
            ):
                if isinstance(row, BadRow):
                    problems.append(Rejection(file, row.line, "", row.reason))
                    continue
                columns.update(dict.fromkeys(row.cells))
                try:
                    rows.append(kept_record(plain(row.cells)))
                except BadField as problem:
                    problems.append(Rejection(file, row.line, problem.field[:MAX_FIELD], problem.reason))
        except TableError as error:
            problems.append(Rejection(file, error.line, "", error.reason))
    return Look(list(columns), rows, problems)


@dataclass(frozen=True)
class Preview:
    """What the first rows of a table would become."""

    rows: list[VideoRow]
    rejections: list[Rejection]


def preview(path: Path, mapping: dict[str, Any], *, limit: int = 20) -> Preview:
    """What an import with this mapping would make of the first rows at `path`; nothing is written."""
    rows: list[VideoRow] = []
    rejections: list[Rejection] = []
    with closing(read(Reading(path, {"mapping": mapping}))) as items:
        for item in items:
            if isinstance(item, VideoRow):
                rows.append(item)
            else:
                rejections.append(item)
            if len(rows) >= limit or len(rejections) >= limit:
                break
    return Preview(rows, rejections)


FORMAT = Format(
    title="Table or manifest (CSV, TSV, JSON lines, JSON list)",
    read=read,
    fills="what its column mapping names: name, path, url, source, recording (else the clip's own name), split, "
    "any of the six answers, and metadata",
)
