"""Reader of SCAD (Surveillance Curated Accident Dataset): `accident_train.txt` and `accident_test.txt`.

A line is `normal/<id>_<segment>.mp4` or `anomalous/<id>_<segment>.mp4`: the folder is the label. Segments are
overlapping windows of 4 s cut from the source video `<id>`; the windows of a video before its accident are in
`normal`, so the recording is the id whatever the folder. Source: github.com/WhoCares258/AccidentDetection.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from annotations.corpora.importers import annotation_files
from annotations.corpora.importers.annotation_files import Named, Row
from annotations.corpora.importers.frames import recognition
from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import (
    MAX_RECORDING,
    BadField,
    VideoRow,
    checked_name,
    checked_text,
    kept_record,
)

SOURCE: Final = "SCAD"
LABELS: Final = {"normal": "no", "anomalous": "yes"}

_LIST = re.compile(r"(?:.*_)?(train|val|test)\.txt", re.IGNORECASE)
_STEM = re.compile(r"(.+)_(\d{1,9})", re.ASCII)


def read(reading: Reading) -> Iterator[Row]:
    """The clips of every list at or below the path; the split is told by the list's name."""
    files = [path for path, _ in annotation_files.find(reading, _split_of, single="")]
    if not files:
        yield annotation_files.nothing_found(reading, "accident_train.txt or accident_test.txt")
        return
    annotation_files.expect(reading, files)
    named = Named()

    def read_file(stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        split = _split_of(path) or ""

        def read_line(text: str, row: int) -> VideoRow:
            return _read_line(text, file=file, row=row, split=split, named=named)

        return annotation_files.text_rows(stream, file=file, read=read_line)

    yield from annotation_files.each(reading, files, read_file)


def _split_of(path: Path) -> str | None:
    match = _LIST.fullmatch(path.name)
    return match[1].lower() if match else None


def _read_line(text: str, *, file: str, row: int, split: str, named: Named) -> VideoRow:
    name = checked_name(text, "path")
    path = PurePosixPath(name)
    label = LABELS.get(path.parent.name)
    if label is None:
        raise BadField("path", f"the folder {path.parent.name[:40]!r} is neither normal nor anomalous")
    match = _STEM.fullmatch(path.stem)
    if not match:
        raise BadField("path", f"{path.name[:60]!r} is not <id>_<segment>")
    recording = checked_text(match[1], "path", limit=MAX_RECORDING)
    record = kept_record(text)
    named.take(name, file, row, field="path")
    return VideoRow(
        file=file,
        row=row,
        name=name,
        source=SOURCE,
        recording=recording,
        path=None,
        split=split,
        metadata={"segment": int(match[2])},
        answers=(recognition(label, f"folder: {path.parent.name}"),),
        record=record,
    )


FORMAT = Format(
    title="SCAD (Surveillance Curated Accident Dataset)",
    read=read,
    fills="name (the path in the list), recording (the id before the segment's number), split (the list's name), "
    "recognition (the folder)",
)
