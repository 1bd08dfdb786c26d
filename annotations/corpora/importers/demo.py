"""Reader of a demo corpus: `manifest.jsonl`, one clip a line, beside the clips.

The clips come without their answers, which are to be predicted and reviewed; the manifest's ground truth is left
out, and everything else it says of a clip is kept as the video's metadata.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from annotations.corpora.importers.reading import Format, Reading, unreadable
from annotations.corpora.importers.rows import (
    MAX_RECORDING,
    MAX_SOURCE,
    BadField,
    Rejection,
    VideoRow,
    checked_metadata,
    checked_name,
    text_field,
)
from crashdesk.api.errors import Problem

MANIFEST: Final = "manifest.jsonl"
# What would give the answers away, and what has a column of its own.
NOT_METADATA: Final = frozenset({"file", "source", "recording", "truth"})
_TELLING_TAGS: Final = frozenset({"crash", "near_miss", "uneventful"})
_LONGEST_LINE = 1 << 20


def manifest_of(path: Path) -> Path:
    """The manifest at `path`: itself, or the one in that folder."""
    return path if path.is_file() else path / MANIFEST


def read(reading: Reading) -> Iterator[VideoRow | Rejection]:
    """The clips of the manifest. Problem when there is none."""
    manifest = manifest_of(reading.path)
    if not manifest.is_file():
        raise Problem("import_path_missing", f"There is no {manifest.name} in {reading.path}.")
    reading.expect([manifest])
    try:
        with reading.open(manifest) as stream:
            yield from read_stream(stream, file=manifest.name, folder=manifest.parent)
    except OSError as error:
        yield unreadable(manifest.name, error)


def read_stream(stream: BinaryIO, *, file: str, folder: Path) -> Iterator[VideoRow | Rejection]:
    """A video per line; a bad line is a rejection, and so is a clip named twice. A clip may be absent from `folder`."""
    named: dict[str, int] = {}
    row = 0
    while line := stream.readline(_LONGEST_LINE):
        row += 1
        if not line.strip():
            continue
        name = ""
        try:
            record = _record(line)
            name = checked_name(text_field(record, "file", limit=None), "file")
            if name in named:
                raise BadField("file", f"{name} is named by row {named[name]} already")
            path = folder / name
            video = VideoRow(
                file=file,
                row=row,
                name=name,
                source=text_field(record, "source", limit=MAX_SOURCE, default=""),
                recording=text_field(record, "recording", limit=MAX_RECORDING, default=path.stem),
                recording_origin="format" if "recording" in record else "name",
                path=path if path.is_file() else None,
                metadata=checked_metadata(_metadata(record), "metadata"),
            )
        except BadField as problem:
            yield Rejection(file, row, problem.field, problem.reason, name=name)
            continue
        named[name] = row
        yield video


FORMAT = Format(
    title="Demo corpus",
    read=read,
    fills="source, recording, and all else that the manifest says as metadata, without the ground truth",
)


def _metadata(record: dict[str, Any]) -> dict[str, Any]:
    """What is left of a record without the columns and without what tells the answer."""
    kept = {key: value for key, value in record.items() if key not in NOT_METADATA}
    if isinstance(kept.get("tags"), list):
        kept["tags"] = [tag for tag in kept["tags"] if tag not in _TELLING_TAGS]
    return kept


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadField("", f"the line is no JSON: {error}") from error
    if not isinstance(record, dict):
        raise BadField("", f"the line is no object but {type(record).__name__}")
    return record
