"""Reader of DoTA (Detection of Traffic Anomaly): `metadata_train.json` and `metadata_val.json`.

A JSON object: `<YouTube id>_<first frame>` to `video_start`, `video_end` (frames of the YouTube video at 10 a second,
both inclusive), `num_frames`, `anomaly_start`, `anomaly_end` (frames of the clip; the end is exclusive, as the
authors' own code slices its labels and as an end equal to `num_frames` can only mean), `anomaly_class` and
`subset`. `train_split.txt` and `val_split.txt` beside them list the clips of each split and are compared with
`subset`. Source: github.com/MoonBlvd/Detection-of-Traffic-Anomaly.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

from annotations.corpora.importers import annotation_files
from annotations.corpora.importers.annotation_files import Named, Row
from annotations.corpora.importers.frames import Facts, recognition, span_answer, whole
from annotations.corpora.importers.json_stream import entries
from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import (
    MAX_SPLIT,
    BadField,
    Rejection,
    VideoRow,
    checked_name,
    checked_text,
    kept_record,
    text_field,
)

SOURCE: Final = "DoTA"
FPS: Final = Fraction(10)

_METADATA = re.compile(r"metadata.*\.json", re.IGNORECASE)
_SPLIT = re.compile(r"(train|val|test)_split\.txt", re.IGNORECASE)
_KEY = re.compile(r"([A-Za-z0-9_-]{11})_(\d{1,9})", re.ASCII)
_CLASS = re.compile(r"(ego|other): ?(\S.*)")
_MAX_CLASS = 100


def read(reading: Reading) -> Iterator[Row]:
    """The clips of every metadata file at or below the path, compared with the split lists found there."""
    found = annotation_files.find(reading, _role_of, single="metadata")
    lists = [path for path, role in found if role == "split"]
    files = [path for path, role in found if role == "metadata"]
    if not files:
        yield annotation_files.nothing_found(reading, "metadata_train.json or metadata_val.json")
        return
    annotation_files.expect(reading, lists + files)
    splits = _Splits()
    yield from annotation_files.each(reading, lists, splits.read)
    named = Named()

    def read_file(stream: BinaryIO, file: str, _: Path) -> Iterator[Row]:
        for entry in entries(stream, file=file):
            if isinstance(entry, Rejection):
                yield entry
                continue
            row, key, value = entry
            try:
                yield _read_entry(key, value, file=file, row=row, named=named, splits=splits)
            except BadField as problem:
                yield Rejection(file, row, problem.field, problem.reason, name=key[:300])

    yield from annotation_files.each(reading, files, read_file)


def _role_of(path: Path) -> str | None:
    if _SPLIT.fullmatch(path.name):
        return "split"
    return "metadata" if _METADATA.fullmatch(path.name) else None


class _Splits:
    """Which split the lists put each clip in."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self.names: set[str] = set()

    def read(self, stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        """Take a list; yields the lines that cannot be taken."""
        match = _SPLIT.fullmatch(path.name)
        split = match[1].lower() if match else ""
        self.names.add(split)

        def read_line(text: str, row: int) -> None:
            if not _KEY.fullmatch(text):
                raise BadField("", f"{text[:40]!r} is not <YouTube id>_<first frame>")
            other = self._of.setdefault(text, split)
            if other != split:
                raise BadField("", f"{text} is listed for {other} already")

        for found in annotation_files.text_rows(stream, file=file, read=read_line):
            if found is not None:
                yield found

    def check(self, key: str, subset: str, facts: Facts) -> str:
        """The clip's split: its subset, else what the lists say."""
        listed = self._of.get(key, "")
        if subset and self.names:
            if listed:
                message = f"subset is {subset!r}, the clip is listed for {listed!r}"
                facts.expect(subset == listed, ["subset"], message)
            elif subset in self.names:
                facts.expect(
                    False, ["subset"], f"subset is {subset!r}, the list of that split lacks the clip"
                )
        return subset or listed


def _read_entry(key: str, value: Any, *, file: str, row: int, named: Named, splits: _Splits) -> VideoRow:
    match = _KEY.fullmatch(key)
    if not match:
        raise BadField("", f"the key {key[:60]!r} is not <YouTube id>_<first frame>")
    if isinstance(value, BadField):
        raise value
    if not isinstance(value, dict):
        raise BadField("", f"the entry is no object but {type(value).__name__}")
    record = kept_record({key: value})
    numbers = {
        field: whole(value.get(field), field)
        for field in ("video_start", "video_end", "anomaly_start", "anomaly_end", "num_frames")
    }
    anomaly = checked_text(text_field(value, "anomaly_class", limit=_MAX_CLASS), "anomaly_class", limit=None)
    subset = text_field(value, "subset", limit=MAX_SPLIT, default="")
    facts = _facts(match, numbers)
    split = splits.check(key, subset, facts)
    start, end = numbers["anomaly_start"], numbers["anomaly_end"]
    name = checked_name(key, "")
    named.take(name, file, row, field="")
    return VideoRow(
        file=file,
        row=row,
        name=name,
        source=SOURCE,
        recording=match[1],
        path=None,
        split=split,
        metadata={
            "anomaly_class": anomaly,
            **_involved(anomaly),
            "start_frame_in_recording": numbers["video_start"],
            "end_frame_in_recording": numbers["video_end"] + 1,
            **facts.metadata(),
        },
        answers=(
            recognition("yes", f"anomaly_class: {anomaly}"),
            span_answer(start, end, FPS, f"anomaly_start: {start}, anomaly_end: {end}"),
        ),
        record=record,
    )


def _facts(key: re.Match[str], numbers: dict[str, int]) -> Facts:
    """What the record declares, with its redundant fields held against each other."""
    frames = numbers["num_frames"]
    facts = Facts(frames=frames, fps=FPS)
    first, last = numbers["video_start"], numbers["video_end"]
    facts.expect(
        frames == last - first + 1,
        ["num_frames", "video_start", "video_end"],
        f"num_frames is {frames}, video_end - video_start + 1 is {last - first + 1}",
    )
    facts.expect(
        int(key[2]) == first, ["video_start"], f"video_start is {first}, the clip's key says {int(key[2])}"
    )
    facts.span(
        numbers["anomaly_start"],
        numbers["anomaly_end"],
        fields=("anomaly_start", "anomaly_end"),
        frames_field="num_frames",
    )
    return facts


def _involved(anomaly: str) -> dict[str, Any]:
    """Who is in the anomaly, and its kind, as the class says in two parts."""
    match = _CLASS.fullmatch(anomaly)
    return {"ego_involved": match[1] == "ego", "anomaly_kind": match[2]} if match else {}


FORMAT = Format(
    title="DoTA (Detection of Traffic Anomaly)",
    read=read,
    fills="name (the clip's key), recording (the YouTube id), split (subset), recognition, crash span (the anomaly); "
    "anomaly class, ego involvement and place in the recording as metadata",
)
