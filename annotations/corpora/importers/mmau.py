"""Reader of MM-AU's tables: `cap_text_annotations.xls` (CAP-DATA) and `dada_text_annotations.xlsx` (DADA-2000).

Layout, as the set's own example and several public readers of both files show it (jeffreychou777/LOTVS-MM-AU README;
tue-mps/simple-tad dada.py and data_tools/dada; the data set classes CapData and DadaData of RiskProp): one row a clip,

    video, weather(...)1-4, light(...)1-2, scenes(...)1-5, linear(...)1-5, type, whether an accident occurred (1/0),
    then three frames in an order that differs, total frames, five lengths, texts, causes, measures

CAP has "abnormal start frame, abnormal end frame, accident frame", DADA "abnormal start frame, accident frame,
abnormal end frame": reading one by the places of the other swaps the crash's first and last frame. So columns are
found by their names only, in any sheet (CAP's table is the second), and the frames of each row must be in the order
start <= accident <= end. Where a whole table is in order only with the two columns exchanged, its headers are the
wrong way round, and they are read so, which every row's metadata says. -1 means that an instant is not given.

Frames are numbered from 1 (000001.jpg, 0001.png) and the last one belongs to the window: frame N is on screen from
(N - 1) / fps to N / fps. No file states a rate; see `Rates`.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from annotations.corpora.importers.places import CLIP_SUFFIXES
from annotations.corpora.importers.reading import Format, Reading, files_at, unreadable
from annotations.corpora.importers.rows import (
    MAX_FIELD,
    BadField,
    GivenAnswer,
    Rejection,
    VideoRow,
    checked_metadata,
    checked_text,
    kept_record,
)
from annotations.corpora.importers.spreadsheet import Cell, Sheet, open_sheets
from annotations.corpora.importers.tabular import TableError, cell_text
from annotations.corpora.importers.times import frame_of, frame_us, rate_of

SOURCES: Final = {"cap": "MM-AU-CAP", "dada": "MM-AU-DADA"}
"""CrashChat's names of the two halves, so that one footage has one source whichever file it came by."""

_DIGITS: Final = {"cap": 6, "dada": 3}
_SUFFIXES: Final = (".xlsx", ".xls")
_HIGHEST: Final = 999_999
_NOT_GIVEN = -1
_HEADER_WITHIN = 20
DADA_FPS: Final = Fraction(30)
CAP_FPS: Final[tuple[tuple[int, int, Fraction], ...]] = (
    (1, 6381, Fraction(10)),
    (6382, 7887, Fraction(30)),
    (7888, 9046, Fraction(20)),
    (9047, 11770, Fraction(30)),
    (13001, 14490, Fraction(10)),
)
"""First number, last number, frames per second. RiskProp's `get_fps`: the publishers state no rate for CAP."""

# What the columns are called, in lower case with one space between words; the published README's names too.
_COLUMNS: Final = {
    "video": re.compile(r"video|video id"),
    "type": re.compile(r"type"),
    "accident": re.compile(r"whether an accident occurred.*|accident occurred"),
    "t_ai": re.compile(r"abnormal start frame|t ai"),
    "t_co": re.compile(r"accident frame|t co"),
    "t_ae": re.compile(r"abnormal end frame|t ae"),
    "total": re.compile(r"total frames"),
    "texts": re.compile(r"texts?"),
    "causes": re.compile(r"causes?"),
    "measures": re.compile(r"measures?"),
    "weather": re.compile(r"weather.*"),
    "light": re.compile(r"light.*"),
    "scenes": re.compile(r"scenes?.*"),
    "linear": re.compile(r"linear.*"),
}
_FRAMES: Final = ("t_ai", "t_co", "t_ae")
_NEEDED: Final = ("video", "type", *_FRAMES)
_CODES: Final = {
    "weather": ("weather", ("sunny", "rainy", "snowy", "foggy")),
    "light": ("light", ("day", "night")),
    "scenes": ("scene", ("highway", "tunnel", "mountain", "urban", "rural")),
    "linear": ("road", ("arterials", "curve", "intersection", "T-junction", "ramp")),
}
_TEXTS: Final = {
    "texts": "crash_description",
    "causes": "causal_reasoning",
    "measures": "prevention_reasoning",
}
_MARKS = re.compile(r"\[(?:CLS|SEP)\]")


class Rates:
    """Frames per second of the clips, by half and number.

    `option`: the import's option "fps", a rate for every clip, or a list of [first number, last number, rate].
    Without it DADA is taken at 30 (what its users evaluate at) and CAP by the ranges that RiskProp found, which
    agree with what CrashChat measured in seconds on clips of the same numbers. BadField when the option is neither.
    """

    def __init__(self, option: Any = None) -> None:
        self.ranges: dict[str, list[tuple[int, int, Fraction]]] = {
            "cap": list(CAP_FPS),
            "dada": [(0, _HIGHEST, DADA_FPS)],
        }
        if option in (None, ""):
            return
        items = option if isinstance(option, list) else [[0, _HIGHEST, option]]
        ranges = []
        for item in items:
            if not isinstance(item, list) or len(item) != 3:
                raise BadField(
                    "fps", "the option must be a rate or a list of [first number, last number, rate]"
                )
            ranges.append((frame_of(item[0], "fps"), frame_of(item[1], "fps"), rate_of(item[2], "fps")))
        self.ranges = {"cap": ranges, "dada": ranges}

    def find(self, part: str, number: int) -> Fraction | None:
        """The rate of a clip; None where nothing is known."""
        return next((rate for first, last, rate in self.ranges[part] if first <= number <= last), None)


def files_of(path: Path) -> list[Path]:
    """The workbooks to read: `path` itself, or all below the folder, sorted by name."""
    return files_at(path, lambda file: file.suffix.lower() in _SUFFIXES)


def part_of(file: Path, option: Any = None) -> str | None:
    """Which half a table is of, cap or dada: by the option, its name, else its folders'; None when they do not tell."""
    if option in SOURCES:
        return str(option)
    for name in (file.name, *(folder.name for folder in file.parents)):
        told = [part for part in SOURCES if re.search(rf"(?<![a-z]){part}(?![a-z])", name.lower())]
        if len(told) == 1:
            return told[0]
    return None


def read(reading: Reading) -> Iterator[VideoRow | Rejection]:
    """The clips of every sheet at the path that has the frames' columns; other sheets and files are left aside.

    Options: "fps" (see `Rates`), "set" ("cap" or "dada") where neither a file's name nor its folder tells.
    """
    try:
        rates = Rates(reading.options.get("fps"))
    except BadField as problem:
        yield Rejection(reading.name_of(reading.path), None, "fps", f"option fps: {problem.reason}")
        return
    files = files_of(reading.path)
    reading.expect(files)
    clips = Clips(reading.root)
    for file in files:
        reading.message, before = reading.name_of(file), reading.done
        try:
            reading.check_inside(file)
            yield from _read_workbook(file, reading, rates, clips)
        except TableError as error:
            yield Rejection(reading.message, error.line, "", error.reason)
        except OSError as error:
            yield unreadable(reading.message, error)
            continue
        reading.done = before + file.stat().st_size


def _read_workbook(
    file: Path, reading: Reading, rates: Rates, clips: "Clips"
) -> Iterator[VideoRow | Rejection]:
    """Reads the workbook twice: how a sheet's frames are ordered is known when all its rows have been seen."""
    name = reading.name_of(file)
    seen: list[_Seen] = []
    with suppress(TableError), open_sheets(file) as sheets:  # the second pass says what breaks, and where
        for sheet, layout in _laid_out(sheets):
            seen.append(_Seen())
            if layout is not None:
                for _, cells in sheet.rows:
                    seen[-1].look(layout, cells)
    rows, size, before, done = sum(each.rows for each in seen), file.stat().st_size, reading.done, 0
    found = False
    with open_sheets(file) as sheets:
        for place, (sheet, layout) in enumerate(_laid_out(sheets)):
            if layout is None:
                reading.left_aside.append(f"{name}: sheet {sheet.name}")
                continue
            found = True
            part = part_of(file, reading.options.get("set"))
            if layout.twice or part is None:
                reason = (
                    f"two columns are called {layout.twice[:80]!r}"
                    if layout.twice
                    else 'neither the file name nor its folder tells CAP from DADA: say it with the option "set"'
                )
                yield Rejection(name, layout.line, "", reason)
                continue
            reading.files.setdefault(name, 0)
            taker = _Taker(name, part, layout, place < len(seen) and seen[place].is_swapped, rates, clips)
            for line, cells in sheet.rows:
                done += 1
                reading.done = before + size * done // max(rows, 1)
                yield from taker.take(line, cells)
    if not found and reading.path.is_file():
        yield Rejection(name, None, "", "no sheet has the columns video, type and the three frames")


@dataclass(frozen=True)
class _Layout:
    """A sheet's header: its row, its titles, the place of each column of _COLUMNS, a title that is there twice."""

    line: int
    header: list[str]
    places: dict[str, int]
    twice: str

    def cell(self, cells: Sequence[Cell], column: str) -> Cell:
        place = self.places.get(column)
        return cells[place] if place is not None and place < len(cells) else None

    def title(self, column: str) -> str:
        place = self.places.get(column)
        return self.header[place][:MAX_FIELD] if place is not None else column


def _laid_out(sheets: Iterator[Sheet]) -> Iterator[tuple[Sheet, _Layout | None]]:
    """The sheets, read up to their header, which is among the first rows; None without one."""
    for sheet in sheets:
        layout = None
        for line, cells in sheet.rows:
            layout = _header(line, cells)
            if layout is not None or line >= _HEADER_WITHIN:
                break
        yield sheet, layout


def _header(line: int, cells: Sequence[Cell]) -> _Layout | None:
    header = [cell_text(cell, "") for cell in cells]
    places: dict[str, int] = {}
    twice = ""
    for place, title in enumerate(header):
        plain = re.sub(r"[\s_]+", " ", title).strip().lower()
        for column, pattern in _COLUMNS.items():
            if pattern.fullmatch(plain):
                twice = title if column in places else twice
                places.setdefault(column, place)
    return _Layout(line, header, places, twice) if all(column in places for column in _NEEDED) else None


@dataclass
class _Seen:
    """What a first pass over a sheet tells: its rows, and how many of them are in order as headed, or exchanged."""

    rows: int = 0
    as_headed: int = 0
    exchanged: int = 0

    @property
    def is_swapped(self) -> bool:
        """Whether accident and end must be exchanged for most of the rows that tell."""
        return self.exchanged > self.as_headed

    def look(self, layout: "_Layout", cells: Sequence[Cell]) -> None:
        """Count a row; only one with three frames tells anything of their order."""
        self.rows += 1
        try:
            start, accident, end = (frame_of(layout.cell(cells, column), "") for column in _FRAMES)
        except BadField:
            return
        if min(start, accident, end) > _NOT_GIVEN and accident != end:
            self.as_headed += start <= accident <= end
            self.exchanged += start <= end <= accident


class Clips:
    """The clips below a folder, by the half, type and number that their paths tell.

    `<type>/<number>.mp4`, `<type>/<number>/<any>.mp4` and CrashChat's `cap_<type>_<number>.mp4`, in any folder; CAP
    writes six digits, DADA three. Two clips of one number are none.
    """

    _PATH = re.compile(r"(?:^|/)(?:(cap|dada)_)?(\d{1,2})[/_](\d{6}|\d{3})(?:/[^/]+)?\.\w+", re.ASCII)

    def __init__(self, root: Path) -> None:
        self._paths: dict[tuple[str, int, int], Path | None] = {}
        for path in root.rglob("*"):
            if path.suffix.lower() not in CLIP_SUFFIXES or not path.is_file():
                continue
            if match := self._PATH.search(path.relative_to(root).as_posix()):
                part = "cap" if len(match[3]) == _DIGITS["cap"] else "dada"
                key = (part, int(match[2]), int(match[3]))
                self._paths[key] = None if key in self._paths or match[1] not in (None, part) else path

    def find(self, part: str, kind: int, number: int) -> Path | None:
        """The clip of this number, or None."""
        return self._paths.get((part, kind, number))


@dataclass
class _Taker:
    """Turns the rows of one sheet into clips."""

    file: str
    part: str
    layout: _Layout
    swapped: bool
    rates: Rates
    clips: Clips
    named: dict[str, int] = field(default_factory=dict)

    def take(self, line: int, cells: Sequence[Cell]) -> Iterator[VideoRow | Rejection]:
        name = ""
        try:
            kind, number = self.number(cells, "type"), self.number(cells, "video")
            name = f"{kind}/{number:0{_DIGITS[self.part]}d}"
            if name in self.named:
                raise BadField(
                    self.layout.title("video"), f"{name} is given by row {self.named[name]} already"
                )
            answers, lost, frames = self.answers(line, name, number, cells)
            video = VideoRow(
                file=self.file,
                row=line,
                name=name,
                source=SOURCES[self.part],
                recording=f"{self.part}_{kind}_{number:0{_DIGITS[self.part]}d}",
                recording_origin="name",
                path=self.clips.find(self.part, kind, number),
                metadata=checked_metadata(self.metadata(kind, cells, frames), "metadata"),
                answers=answers,
                record=kept_record(self.record(cells)),
            )
        except BadField as problem:
            yield Rejection(self.file, line, problem.field[:MAX_FIELD], problem.reason, name=name)
            return
        self.named[name] = line
        yield from lost
        yield video

    def number(self, cells: Sequence[Cell], column: str) -> int:
        title = self.layout.title(column)
        cell = self.layout.cell(cells, column)
        if cell in (None, ""):
            raise BadField(title, "is empty")
        number = frame_of(cell, title)
        if not 0 <= number <= _HIGHEST:
            raise BadField(title, f"{cell} is no number of a {column}")
        return number

    def frame(self, cells: Sequence[Cell], column: str) -> int | None:
        """A frame's number, or None where it is empty or -1. BadField for what is neither that nor a frame."""
        if self.swapped:
            column = {"t_co": "t_ae", "t_ae": "t_co"}.get(column, column)
        cell, title = self.layout.cell(cells, column), self.layout.title(column)
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return None
        number = frame_of(cell, title)
        if number == _NOT_GIVEN:
            return None
        if number < 0:
            raise BadField(title, f"{number} is neither a frame nor -1")
        return number

    def answers(
        self, line: int, name: str, number: int, cells: Sequence[Cell]
    ) -> tuple[tuple[GivenAnswer, ...], list[Rejection], dict[str, int]]:
        """What the row says on each kind, the rejections of what cannot be used, and the frames that it gives."""
        found: list[GivenAnswer] = []
        lost: list[Rejection] = []
        frames: dict[str, int] = {}

        def reject(problem: BadField, *kinds: str) -> None:
            lost.extend(
                Rejection(self.file, line, problem.field[:MAX_FIELD], problem.reason, name=name, kind=kind)
                for kind in kinds
            )

        happened = True
        try:
            label = self.accident(cells)
            happened = label != "no"
            if label:
                found.append(
                    GivenAnswer("crash_recognition", {"label": label}, "1" if label == "yes" else "0")
                )
        except BadField as problem:
            reject(problem, "crash_recognition")
        for column, kind in _TEXTS.items():
            try:
                if text := self.text(cells, column):
                    found.append(GivenAnswer(kind, {"text": text}, text))
            except BadField as problem:
                reject(problem, kind)
        try:
            frames = {column: frame for column in _FRAMES if (frame := self.frame(cells, column)) is not None}
            # Without an accident the window is something unusual that ended well: no crash has these times.
            if happened and frames:
                found += self.times(number, frames)
        except BadField as problem:
            reject(problem, "crash_localization", "pre_crash_localization")
        return tuple(found), lost, frames

    def accident(self, cells: Sequence[Cell]) -> str:
        """yes, no, or "" where the table does not say."""
        title = self.layout.title("accident")
        text = cell_text(self.layout.cell(cells, "accident"), title)
        if text in ("", "-1"):
            return ""
        if text not in ("0", "1"):
            raise BadField(title, f"{text[:60]!r} is neither 1 nor 0")
        return "yes" if text == "1" else "no"

    def text(self, cells: Sequence[Cell], column: str) -> str:
        title = self.layout.title(column)
        text = _MARKS.sub("", cell_text(self.layout.cell(cells, column), title)).strip()
        return "" if text == "-1" else checked_text(text, title, limit=None)

    def times(self, number: int, frames: dict[str, int]) -> list[GivenAnswer]:
        """Crash span and onset of the frames that are given. BadField when their order or their rate is not known."""
        given = [(self.title_of(column), frames[column]) for column in _FRAMES if column in frames]
        for (title, frame), (next_title, next_frame) in pairwise(given):
            if frame > next_frame:
                raise BadField(title, f"{title} {frame} comes after {next_title} {next_frame}")
        fps = self.rates.find(self.part, number)
        if fps is None:
            raise BadField(
                "fps", f"no frame rate is known for clip {number} of {self.part}: give the option fps"
            )
        at = {column: frame_us(max(frame - 1, 0), fps, column) for column, frame in frames.items()}
        found = []
        if "t_co" in frames and "t_ae" in frames:
            value = {"start_us": at["t_co"], "end_us": frame_us(frames["t_ae"], fps, "t_ae")}
            raw_text = f"accident frame {frames['t_co']}, abnormal end frame {frames['t_ae']}, {fps} fps"
            found.append(GivenAnswer("crash_localization", value, raw_text))
        if "t_ai" in frames:
            raw_text = f"abnormal start frame {frames['t_ai']}, {fps} fps"
            found.append(GivenAnswer("pre_crash_localization", {"at_us": at["t_ai"]}, raw_text))
        return found

    def title_of(self, column: str) -> str:
        return {"t_ai": "abnormal start frame", "t_co": "accident frame", "t_ae": "abnormal end frame"}[
            column
        ]

    def metadata(self, kind: int, cells: Sequence[Cell], frames: dict[str, int]) -> dict[str, Any]:
        kept: dict[str, Any] = {"accident_type": kind}
        for column, (key, words) in _CODES.items():
            cell = self.layout.cell(cells, column)
            if cell in (None, "", _NOT_GIVEN):
                continue
            known = isinstance(cell, int) and not isinstance(cell, bool) and 1 <= cell <= len(words)
            kept[key] = words[int(cell) - 1] if known else cell
        total = self.layout.cell(cells, "total")
        if isinstance(total, int) and total >= 0:
            kept["total_frames"] = total
        if frames:
            kept["frames"] = frames
        if self.swapped:
            kept["columns_exchanged"] = "accident frame and abnormal end frame are headed the wrong way round"
        return kept

    def record(self, cells: Sequence[Cell]) -> dict[str, Cell]:
        """The row by its titles; columns without a title by their place."""
        kept: dict[str, Cell] = {}
        for place, (title, cell) in enumerate(zip(self.layout.header, cells, strict=False), start=1):
            if cell is not None:
                kept[f"column {place}" if not title or title in kept else title] = cell
        return kept


FORMAT = Format(
    title="MM-AU: CAP-DATA and DADA-2000 tables",
    read=read,
    fills="source (MM-AU-CAP, MM-AU-DADA), recording (the clip's own id), all six answers where the row gives them, "
    "accident type, weather, light, scene, road and frames as metadata",
    find_media=False,
)
