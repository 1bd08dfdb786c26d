"""Reader of the Nexar collision prediction tables, as published on Hugging Face and as given out on Kaggle.

Hugging Face (nexar-ai/nexar_collision_prediction): `<split>/<positive|negative>/metadata.csv` beside the clips, with

    file_name,time_of_event,time_of_alert,light_conditions,weather,scene,time_to_accident

where the split is train, test-public or test-private and the folder is the label. Kaggle: `train.csv` with
`id,time_of_event,time_of_alert,target`, clips called by the id in five digits; `test.csv` has the ids alone. Times are
seconds with decimals, empty on negatives. What the fields mean (dataset card; Moura, Zhu and Zvitia,
arXiv:2503.03848): time_of_event is when the collision *or near collision* happens, time_of_alert when it first becomes
predictable, time_to_accident how long before the event a test clip was cut off.

What follows from it here:

- a positive is "yes" (or is left open, by the option "positives": "open", since it may be a near collision);
- time_of_alert is the onset of the first visible cue;
- time_of_event is when a crash begins; nothing says when it ends, so there is no span: it is kept as metadata;
- a clip with time_to_accident ends before the event, and its times are those of the uncut video: a positive of
  that kind shows no crash and no known instant, so it gets no answer; all of it is kept as metadata.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from annotations.corpora.importers.reading import Format, Reading, files_at, unreadable
from annotations.corpora.importers.rows import (
    BadField,
    GivenAnswer,
    Rejection,
    VideoRow,
    checked_metadata,
    checked_name,
    kept_record,
)
from annotations.corpora.importers.tabular import BadRow, Row, TableError, cell_text, read_rows
from annotations.corpora.importers.times import time_us

SOURCE: Final = "Nexar"
MAP_FILE: Final = "time_to_accident_test_map.csv"
_FOLDERS: Final = {"positive": "yes", "negative": "no"}
_SPLITS: Final = {
    "train": "train",
    "test-public": "test-public",
    "test-private": "test-private",
    "test": "test",
}
_KNOWN: Final = frozenset(
    {"file_name", "id", "target", "label", "time_of_event", "time_of_alert", "time_to_accident"}
)
_TEXTS: Final = ("light_conditions", "weather", "scene")
_TIMES: Final = ("time_of_event", "time_of_alert", "time_to_accident")
_EMPTY: Final = ("", "nan", "none", "null")


def files_of(path: Path) -> list[Path]:
    """The tables to read: `path` itself, or the CSV files below the folder, sorted by name."""
    return files_at(path, lambda file: file.suffix == ".csv")


def read(reading: Reading) -> Iterator[VideoRow | Rejection]:
    """The clips of every table at the path; other CSV files (a submission, a solution) are left aside.

    Option "positives": "yes" (the default) or "open".
    """
    positives = reading.options.get("positives", "yes")
    if positives not in ("yes", "open"):
        reason = 'option positives: must be "yes" or "open"'
        yield Rejection(reading.name_of(reading.path), None, "positives", reason)
        return
    files = files_of(reading.path)
    reading.expect(files)
    recordings: dict[str, str] = {}
    for file in files:
        if file.name == MAP_FILE:
            recordings = yield from _crops(file, reading)
    for file in files:
        if file.name != MAP_FILE:
            yield from _read_file(file, reading, recordings, positives)


def _crops(file: Path, reading: Reading) -> Generator[Rejection, None, dict[str, str]]:
    """Which test clips were cut from one video: clip id to the recording's name.

    Each row of the map is a source video, its columns (0.5, 1.0, 1.5: seconds to the event) the ids of its clips.
    """
    name = reading.name_of(file)
    found: dict[str, str] = {}
    try:
        reading.check_inside(file)
        with file.open("rb") as stream:
            for row in read_rows(stream, "delimited"):
                if isinstance(row, BadRow):
                    yield Rejection(name, row.line, "", row.reason)
                    continue
                columns = [column for column in row.cells if re.fullmatch(r"\d(?:\.\d+)?", column, re.ASCII)]
                ids = sorted(clip for column in columns if (clip := _clip_id(row.cells[column])))
                found.update((clip, f"nexar_test_{ids[0]}") for clip in ids)
    except TableError as error:
        yield Rejection(name, error.line, "", error.reason)
    except OSError as error:
        yield unreadable(name, error)
    return found


def _clip_id(text: str) -> str:
    """A clip's id as its file is called: whole numbers in five digits. "" for an empty cell."""
    text = text.strip()
    if text.lower() in _EMPTY:
        return ""
    number = re.fullmatch(
        r"(\d{1,12})(?:\.0)?", text, re.ASCII
    )  # pandas writes ids beside empty cells as 12.0
    return f"{int(number[1]):05d}" if number else text


def _read_file(
    file: Path, reading: Reading, recordings: dict[str, str], positives: str
) -> Iterator[VideoRow | Rejection]:
    name = reading.name_of(file)
    folders = [part.lower() for part in file.relative_to(reading.root).parts[:-1]] or [
        file.parent.name.lower()
    ]
    taker = _Taker(
        file=name,
        label=next((_FOLDERS[folder] for folder in reversed(folders) if folder in _FOLDERS), ""),
        split=next(
            (_SPLITS[part] for part in (*reversed(folders), file.stem.lower()) if part in _SPLITS), ""
        ),
        recordings=recordings,
        positives=positives,
    )
    try:
        reading.check_inside(file)
        if not taker.label:
            with file.open("rb") as stream:
                taker.times_tell = _has_event_times(stream)
        with reading.open(file) as stream:
            for row in read_rows(stream, "delimited"):
                if isinstance(row, BadRow):
                    yield Rejection(name, row.line, "", row.reason)
                    continue
                if not _is_table(row, alone=reading.path.is_file()):
                    reading.files.pop(name, None)
                    reading.left_aside.append(name)
                    return
                yield from taker.take(row)
    except TableError as error:
        yield Rejection(name, error.line, "", error.reason)
    except OSError as error:
        yield unreadable(name, error)


def _is_table(row: Row, *, alone: bool) -> bool:
    """Whether a row's columns are Nexar's: a clip, and more than an id where the file was not asked for by name."""
    known = _KNOWN & row.cells.keys()
    return bool({"file_name", "id"} & known) and (alone or "file_name" in known or "time_of_event" in known)


def _has_event_times(stream: Any) -> bool:
    """Whether any row has an event time: only then does an empty one mean that nothing happens."""
    return any(
        isinstance(row, Row) and row.cells.get("time_of_event", "").strip().lower() not in _EMPTY
        for row in read_rows(stream, "delimited")
    )


@dataclass
class _Taker:
    """Turns the rows of one table into clips."""

    file: str
    label: str
    split: str
    recordings: dict[str, str]
    positives: str
    times_tell: bool = False
    named: dict[str, int] = field(default_factory=dict)

    def take(self, row: Row) -> Iterator[VideoRow | Rejection]:
        name = ""
        try:
            name = self.name(row.cells)
            if name in self.named:
                raise BadField("file_name", f"{name} is given by row {self.named[name]} already")
            stem = name.rpartition("/")[2].rpartition(".")[0]
            times, lost = self.times(row, name)
            answers = self.answers(row, name, times, lost)
            video = VideoRow(
                file=self.file,
                row=row.line,
                name=name,
                source=SOURCE,
                recording=self.recordings.get(stem) or f"nexar_{stem}",
                recording_origin="format" if stem in self.recordings else "name",
                path=None,
                metadata=checked_metadata(self.metadata(row.cells, times), "metadata"),
                split=self.split,
                answers=answers,
                record=kept_record(row.cells),
            )
        except BadField as problem:
            yield Rejection(self.file, row.line, problem.field, problem.reason, name=name)
            return
        self.named[name] = row.line
        yield from lost
        yield video

    def name(self, cells: dict[str, Any]) -> str:
        text = cell_text(cells.get("file_name"), "file_name")
        if text:
            return checked_name(text, "file_name")
        clip = _clip_id(cell_text(cells.get("id"), "id"))
        if not clip:
            raise BadField("file_name" if "file_name" in cells else "id", "is empty: nothing names the clip")
        return checked_name(clip if "." in clip else f"{clip}.mp4", "id")

    def times(self, row: Row, name: str) -> tuple[dict[str, int], list[Rejection]]:
        """The times that the row gives, in microseconds, and the rejections of those that are none."""
        found: dict[str, int] = {}
        lost: list[Rejection] = []
        for column in _TIMES:
            text = cell_text(row.cells.get(column), column)
            if text.lower() in _EMPTY:
                continue
            try:
                found[column] = time_us(text, column)
            except BadField as problem:
                lost.append(self.lost(row, column, problem.reason, name))
        if found.get("time_of_alert", 0) > found.get("time_of_event", found.get("time_of_alert", 0)):
            del found["time_of_alert"]
            lost.append(self.lost(row, "time_of_alert", "comes after time_of_event", name))
        return found, lost

    def lost(self, row: Row, column: str, reason: str, name: str) -> Rejection:
        kind = "pre_crash_localization" if column == "time_of_alert" else ""
        return Rejection(self.file, row.line, column, reason, name=name, kind=kind)

    def answers(
        self, row: Row, name: str, times: dict[str, int], lost: list[Rejection]
    ) -> tuple[GivenAnswer, ...]:
        try:
            label, said = self.happens(row.cells, times)
        except BadField as problem:
            kind = "crash_recognition"
            lost.append(Rejection(self.file, row.line, problem.field, problem.reason, name=name, kind=kind))
            return ()
        cut_before = "time_to_accident" in times
        found = []
        if label == "no" or (label == "yes" and self.positives == "yes" and not cut_before):
            found.append(GivenAnswer("crash_recognition", {"label": label}, said))
        if label != "no" and "time_of_alert" in times and not cut_before:
            raw_text = f"time_of_alert {cell_text(row.cells['time_of_alert'], 'time_of_alert')} seconds"
            found.append(GivenAnswer("pre_crash_localization", {"at_us": times["time_of_alert"]}, raw_text))
        return tuple(found)

    def happens(self, cells: dict[str, Any], times: dict[str, int]) -> tuple[str, str]:
        """("yes", "no" or "" where nothing tells, what told it): the row's own label, the folder, else the times."""
        label, said = (
            self.label,
            f"folder {'positive' if self.label == 'yes' else 'negative'}" if self.label else "",
        )
        for column in ("target", "label"):
            text = cell_text(cells.get(column), column).lower()
            if text in _EMPTY:
                continue
            if text not in ("0", "1", "0.0", "1.0"):
                raise BadField(column, f"{text[:60]!r} is neither 1 nor 0")
            own = "yes" if text.startswith("1") else "no"
            if label and own != label:
                raise BadField(column, f"{column} {text} contradicts the {said}")
            label, said = own, f"{column} {text}"
        event = cell_text(cells.get("time_of_event"), "time_of_event")
        if not label and self.times_tell and "time_of_event" in cells:
            empty = event.lower() in _EMPTY
            label, said = ("no", "no time_of_event") if empty else ("yes", f"time_of_event {event}")
        if label == "no" and ("time_of_event" in times or "time_of_alert" in times):
            raise BadField("time_of_event", f"a time of an event contradicts the {said}")
        return label, said

    def metadata(self, cells: dict[str, Any], times: dict[str, int]) -> dict[str, Any]:
        kept: dict[str, Any] = {
            column: text
            for column in _TEXTS
            if (text := cell_text(cells.get(column), column)).lower() not in _EMPTY
        }
        if "time_to_accident" in times:
            kept["cut_before_event_us"] = times["time_to_accident"]
            names = {"time_of_event": "event_in_uncut_us", "time_of_alert": "alert_in_uncut_us"}
        else:
            names = {"time_of_event": "event_us"}
        return kept | {name: times[column] for column, name in names.items() if column in times}


FORMAT = Format(
    title="Nexar collision prediction tables",
    read=read,
    fills="source (Nexar), recording (the clips cut from one test video together, else the clip's own id), split, "
    "crash or not, the onset (time of alert), and light, weather, scene and the event's time as metadata",
)
