"""Reader of CADP (CCTV traffic cameras): VATIC text, key-frame JSON, the list of segments and the split files.

Which file is what is told by its name: `<id>.txt` is a clip's VATIC boxes, `<id>.json` its key frames,
`segments*.json` a list of clip ids, `split<k>_train.txt` and `split<k>_test.txt` (upstream `splits/<k>/train.txt`) the
ids of four folds. Boxes carry an attribute or state "Colliding": that is all that the files say of a crash. They do not
say the frame rate, so its times need the option `fps`.
Source: github.com/ankitshah009/CarCrash_forecasting_and_detection.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

from annotations.corpora.importers import annotation_files, cadp_boxes
from annotations.corpora.importers.annotation_files import Named, Row
from annotations.corpora.importers.cadp_boxes import Boxes
from annotations.corpora.importers.frames import parsed_fps, recognition, span_answer
from annotations.corpora.importers.json_stream import items
from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import BadField, GivenAnswer, Rejection, VideoRow

SOURCE: Final = "CADP"

_ID = re.compile(r"\d{1,6}", re.ASCII)
_FOLD = re.compile(r"split_?(\d{1,3})_(train|test)\.txt", re.IGNORECASE | re.ASCII)
_FOLD_IN_FOLDER = re.compile(r"(train|test)\.txt", re.IGNORECASE)
_LIST = re.compile(r"segments.*\.json", re.IGNORECASE)
_ROLES: Final = ("fold", "boxes", "keys", "list")
"""In the order they are read: folds first, then what has boxes, then mere lists."""


def read(reading: Reading) -> Iterator[Row]:
    """A row per clip and file: the files with boxes, then the listed clips, each with its folds."""
    found = annotation_files.find(reading, _role_of)
    if not found:
        wanted = "CADP file: <id>.txt, <id>.json, segments*.json or split<k>_train.txt"
        yield annotation_files.nothing_found(reading, wanted)
        return
    folds = _Folds()
    try:
        fps = parsed_fps(reading.options.get("fps"))
        folds.chosen = _chosen_fold(reading.options.get("fold"))
    except BadField as problem:
        yield Rejection(reading.name_of(reading.path), None, problem.field, problem.reason)
        return
    annotation_files.expect(reading, [path for path, _ in found])
    by_role = {role: [path for path, its_role in found if its_role == role] for role in _ROLES}
    yield from annotation_files.each(reading, by_role["fold"], folds.read)
    seen = _Seen(folds, fps)
    yield from annotation_files.each(reading, by_role["boxes"], seen.read_boxes)
    yield from annotation_files.each(reading, by_role["keys"], seen.read_keys)
    yield from annotation_files.each(reading, by_role["list"], seen.read_list)
    for clip, (file, row) in folds.first_named.items():
        if clip not in seen.clips:
            yield seen.row(clip, file=file, row=row, record=clip)


def _role_of(path: Path) -> str | None:
    if _fold_of(path):
        return "fold"
    if _LIST.fullmatch(path.name):
        return "list"
    if _ID.fullmatch(path.stem):
        return {".txt": "boxes", ".json": "keys"}.get(path.suffix.lower())
    return None


def _fold_of(path: Path) -> tuple[str, str] | None:
    """(number of the fold, "train" or "test") as the path tells."""
    if match := _FOLD.fullmatch(path.name):
        return str(int(match[1])), match[2].lower()
    match = _FOLD_IN_FOLDER.fullmatch(path.name)
    if match and _ID.fullmatch(path.parent.name):
        return str(int(path.parent.name)), match[1].lower()
    return None


def _chosen_fold(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or not _ID.fullmatch(str(value)):
        raise BadField("options.fold", "must be the number of a fold")
    return str(int(value))


def _clip(value: Any, field_name: str) -> str:
    """A clip's name: its id in six digits, as the folders of its frames are called."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise BadField(field_name, f"{str(value)[:40]!r} is not an id of up to six digits")
    return value.zfill(6)


@dataclass
class _Folds:
    """What the split files say: the part of each fold that a clip is in."""

    of: dict[str, dict[str, str]] = field(default_factory=dict)
    first_named: dict[str, tuple[str, int]] = field(default_factory=dict)
    numbers: set[str] = field(default_factory=set)
    chosen: str | None = None

    def read(self, stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        """Take a split file; yields the lines that cannot be taken."""
        told = _fold_of(path)
        assert told is not None
        number, part = told
        self.numbers.add(number)

        def read_line(text: str, row: int) -> None:
            clip = _clip(text, "id")
            parts = self.of.setdefault(clip, {})
            if number in parts:
                raise BadField("id", f"{clip} is in the {parts[number]} part of fold {number} already")
            parts[number] = part
            self.first_named.setdefault(clip, (file, row))

        for found in annotation_files.text_rows(stream, file=file, read=read_line):
            if found is not None:
                yield found

    def split(self, clip: str) -> str:
        """The clip's part of the chosen fold, or of the only one there is."""
        number = self.chosen or (next(iter(self.numbers)) if len(self.numbers) == 1 else "")
        return self.of.get(clip, {}).get(number, "")


class _Seen:
    """The clips that have had a row, and how their rows are made."""

    def __init__(self, folds: _Folds, fps: Fraction | None) -> None:
        self._folds, self._fps = folds, fps
        self.clips: set[str] = set()

    def row(
        self, clip: str, *, file: str, row: int | None, record: Any, boxes: Boxes | None = None
    ) -> VideoRow:
        """The clip's row, with what its boxes tell where there are any."""
        self.clips.add(clip)
        folds = self._folds.of.get(clip)
        metadata: dict[str, Any] = {"folds": folds} if folds else {}
        return VideoRow(
            file=file,
            row=row,
            name=clip,
            source=SOURCE,
            recording=clip,
            recording_origin="name",
            path=None,
            split=self._folds.split(clip),
            metadata=metadata if boxes is None else metadata | boxes.metadata(self._fps),
            answers=() if boxes is None else self._answers(boxes),
            record=record,
        )

    def _answers(self, boxes: Boxes) -> tuple[GivenAnswer, ...]:
        """Yes where boxes collide; the span where the rate is told as well. Nothing where none does."""
        if boxes.colliding is None:
            return ()
        start, end = boxes.colliding
        answers = [recognition("yes", "Colliding")]
        if self._fps is not None:
            text = f"Colliding from frame {start} to frame {end - 1} at {self._fps} frames/s"
            answers.append(span_answer(start, end, self._fps, text))
        return tuple(answers)

    def read_boxes(self, stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        """The clip of a VATIC file."""
        yield from self._read_clip(cadp_boxes.read_vatic(stream, file=file), file=file, path=path)

    def read_keys(self, stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        """The clip of a key-frame file."""
        yield from self._read_clip(cadp_boxes.read_key_frames(stream, file=file), file=file, path=path)

    def _read_clip(self, found: Iterator[Rejection | Boxes], *, file: str, path: Path) -> Iterator[Row]:
        clip = _clip(path.stem, "")
        for item in found:
            if isinstance(item, Rejection):
                yield item
            elif item.rows:
                yield self.row(clip, file=file, row=None, record=item.record, boxes=item)

    def read_list(self, stream: BinaryIO, file: str, _: Path) -> Iterator[Row]:
        """The clips of a list of ids."""
        named = Named()
        for found in items(stream, file=file):
            if isinstance(found, Rejection):
                yield found
                continue
            row, value = found
            try:
                if isinstance(value, BadField):
                    raise value
                clip = _clip(value, "id")
                named.take(clip, file, row, field="id")
                yield self.row(clip, file=file, row=row, record=value)
            except BadField as problem:
                yield Rejection(file, row, problem.field, problem.reason)


FORMAT = Format(
    title="CADP (CCTV traffic cameras)",
    read=read,
    fills="name (the id in six digits), folds as metadata, split (option fold, or the only fold there is), tracks and "
    'frames of "Colliding" boxes as metadata, recognition where boxes collide, crash span with the option fps',
)
