"""Reader of the Car Crash Dataset (CCD): `Crash-1500.txt`, one line per crash clip.

A line is `vidname,50 labels,startframe,youtubeID,timing,weather,egoinvolve`; the labels stand with or without brackets
(upstream's README and file have them, copies do not). Clips have 50 frames at 10 frames a second; a label 1 marks an
accident frame. The labels stay 1 to the clip's last frame: they tell when the crash starts, not when it ends, so no
span is made of them unless the option `crash_until_clip_end` asks for it.
Source: github.com/Cogito2012/CarCrashDataset.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

from annotations.corpora.importers import annotation_files
from annotations.corpora.importers.annotation_files import Named, Row
from annotations.corpora.importers.frames import (
    Facts,
    positive_runs,
    recognition,
    span_answer,
    whole_text,
)
from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import (
    MAX_RECORDING,
    BadField,
    GivenAnswer,
    VideoRow,
    checked_name,
    checked_text,
    kept_record,
)
from annotations.corpora.media.timemap import frame_time_us

SOURCE: Final = "CCD"
FPS: Final = Fraction(10)
FRAMES: Final = 50
FOLDER: Final = "Crash-1500"
"""Where the published archive has the crash clips, beside `Normal`, whose clips bear the same numbers. A clip that lies
right beside the annotation file is the crash clip as well."""

_FILE = re.compile(r"crash-?\d*\.txt", re.IGNORECASE)
_DIGITS = re.compile(r"\d{1,12}", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z _-]{0,39}")
_INVOLVED: Final = {"yes": True, "no": False}
_AFTER_LABELS: Final = ("startframe", "youtubeID", "timing", "weather", "egoinvolve")


def read(reading: Reading) -> Iterator[Row]:
    """The clips of every `Crash-<number>.txt` at or below the path."""
    files = [path for path, _ in annotation_files.find(reading, _role_of, single="labels")]
    if not files:
        yield annotation_files.nothing_found(reading, "Crash-1500.txt")
        return
    annotation_files.expect(reading, files)
    named = Named()
    until_end = reading.options.get("crash_until_clip_end") is True

    def read_file(stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        def read_line(text: str, row: int) -> VideoRow:
            return _read_line(text, file=file, row=row, named=named, until_end=until_end, folder=path.parent)

        return annotation_files.text_rows(stream, file=file, read=read_line)

    yield from annotation_files.each(reading, files, read_file)


def _role_of(path: Path) -> str | None:
    return "labels" if _FILE.fullmatch(path.name) else None


def _read_line(text: str, *, file: str, row: int, named: Named, until_end: bool, folder: Path) -> VideoRow:
    fields = _fields(text)
    clip = fields["vidname"]
    if not _DIGITS.fullmatch(clip):
        raise BadField("vidname", f"{clip[:40]!r} is not a number")
    recording = checked_text(fields["youtubeID"], "youtubeID", limit=MAX_RECORDING)
    if not _DIGITS.fullmatch(recording):
        raise BadField("youtubeID", f"{recording[:40]!r} is not a number")
    start_frame = whole_text(fields["startframe"], "startframe")
    labels = _labels(fields["binlabels"])
    metadata: dict[str, Any] = {
        "ego_involved": _involved(fields["egoinvolve"]),
        "timing": _word(fields, "timing"),
        "weather": _word(fields, "weather"),
        "start_frame_in_recording": start_frame,
    }
    answers, more = _crash(labels, until_end=until_end)
    name = checked_name(f"{FOLDER}/{clip}.mp4", "vidname")
    record = kept_record(text)
    named.take(name, file, row, field="vidname")
    beside = folder / f"{clip}.mp4"
    return VideoRow(
        file=file,
        row=row,
        name=name,
        source=SOURCE,
        recording=recording,
        path=beside if beside.is_file() else None,
        metadata=metadata | more,
        answers=answers,
        record=record,
    )


def _fields(text: str) -> dict[str, str]:
    """The line's fields by name; the labels are those between the first field and the last five."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 2 + len(_AFTER_LABELS):
        raise BadField("", f"has {len(parts)} fields; a name, the labels and five fields are needed")
    after = parts[-len(_AFTER_LABELS) :]
    labels = ",".join(parts[1 : -len(_AFTER_LABELS)])
    return {"vidname": parts[0], "binlabels": labels, **dict(zip(_AFTER_LABELS, after, strict=True))}


def _labels(text: str) -> list[int]:
    opened, closed = text.startswith("["), text.endswith("]")
    if opened != closed:
        raise BadField("binlabels", "has a bracket at one end only")
    labels = [part.strip() for part in (text[1:-1] if opened else text).split(",")]
    for frame, label in enumerate(labels):
        if label not in ("0", "1"):
            raise BadField("binlabels", f"the label of frame {frame} is {label[:20]!r}, not 0 or 1")
    return [int(label) for label in labels]


def _crash(labels: list[int], *, until_end: bool) -> tuple[tuple[GivenAnswer, ...], dict[str, Any]]:
    """What the labels say: answers and metadata."""
    facts = Facts(frames=len(labels), fps=FPS)
    facts.expect(
        len(labels) == FRAMES,
        ["binlabels"],
        f"binlabels has {len(labels)} labels, a clip of this dataset has {FRAMES} frames",
    )
    runs = positive_runs(labels)
    facts.expect(bool(runs), ["binlabels"], "binlabels marks no frame, in a list of crash clips")
    facts.expect(len(runs) < 2, ["binlabels"], f"binlabels marks {len(runs)} separate runs of frames")
    if not runs:
        return (), facts.metadata()
    start, end = runs[0]
    marked_end = end < len(labels)
    more = {
        "crash_start_frame": start,
        "crash_start_us": frame_time_us(start, FPS),
        "crash_end_marked": marked_end,
    }
    answers = [recognition("yes", "binlabels: 1")]
    if len(runs) == 1 and (marked_end or until_end):
        answers.append(span_answer(start, end, FPS, f"binlabels: 1 from frame {start} to frame {end - 1}"))
        facts.span(start, end, fields=("binlabels", "binlabels"), frames_field="binlabels")
    return tuple(answers), more | facts.metadata()


def _involved(text: str) -> bool:
    if text.lower() not in _INVOLVED:
        raise BadField("egoinvolve", f"{text[:40]!r} is neither Yes nor No")
    return _INVOLVED[text.lower()]


def _word(fields: dict[str, str], field: str) -> str:
    if not _WORD.fullmatch(fields[field]):
        raise BadField(field, f"{fields[field][:40]!r} is not a word")
    return fields[field]


FORMAT = Format(
    title="CCD (Car Crash Dataset)",
    read=read,
    fills="name (Crash-1500/<number>.mp4), recording (youtubeID), recognition; the start of the crash, time of day, "
    "weather and ego involvement as metadata; the crash span with the option crash_until_clip_end",
)
