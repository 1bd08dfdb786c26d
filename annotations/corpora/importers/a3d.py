"""Reader of A3D (AnAn Accident Detection): `A3D_labels.pkl`, or the same as JSON.

A dict: `<video_name>_<idx>` to `video_name` (YouTube id), `idx`, `clip_start`, `clip_end` (frames of the YouTube video
at 10 a second, six digits, both inclusive), `ego_envolve` (so spelt), `ego_only` and `target`, a label 0 or 1 per frame
of the clip. The run of 1 is the crash span. Source: github.com/MoonBlvd/tad-IROS2019.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Final

from annotations.corpora.importers import annotation_files
from annotations.corpora.importers.annotation_files import Named, Row
from annotations.corpora.importers.frames import (
    MAX_FRAMES,
    Facts,
    positive_runs,
    recognition,
    span_answer,
    whole_text,
)
from annotations.corpora.importers.json_stream import entries
from annotations.corpora.importers.plain_pickle import UnsafePickle, load
from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import (
    MAX_RECORDING,
    BadField,
    GivenAnswer,
    Rejection,
    VideoRow,
    checked_name,
    kept_record,
    text_field,
)
from annotations.corpora.media.findings import MediaError
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media.timemap import frame_time_us

SOURCE: Final = "A3D"
FPS: Final = Fraction(10)

_LABELS = re.compile(r"a3d.*\.(?:json|pkl)", re.IGNORECASE)
_PICKLED: Final = frozenset({".pkl", ".pickle"})
_PICKLE_TIMEOUT_S: Final = 60.0
_PICKLE_MEMORY: Final = 2 * 1024**3


def read(reading: Reading) -> Iterator[Row]:
    """The clips of every label file at or below the path; a pickle beside a JSON file of its name is left aside."""
    found = [path for path, _ in annotation_files.find(reading, _role_of, single="labels")]
    files = [path for path in found if path.suffix == ".json" or path.with_suffix(".json") not in found]
    reading.left_aside += [reading.name_of(path) for path in found if path not in files]
    if not files:
        yield annotation_files.nothing_found(reading, "A3D_labels.pkl or A3D_labels.json")
        return
    annotation_files.expect(reading, files)
    named = Named()

    def read_file(stream: BinaryIO, file: str, path: Path) -> Iterator[Row]:
        rows = _pickled(path, file=file) if path.suffix.lower() in _PICKLED else entries(stream, file=file)
        for found in rows:
            if isinstance(found, Rejection):
                yield found
                continue
            row, key, value = found
            try:
                yield _read_entry(key, value, file=file, row=row, named=named)
            except BadField as problem:
                yield Rejection(file, row, problem.field, problem.reason, name=key[:300])

    yield from annotation_files.each(reading, files, read_file)


def _role_of(path: Path) -> str | None:
    return "labels" if _LABELS.fullmatch(path.name) else None


def _pickled(path: Path, *, file: str) -> Iterator[tuple[int, str, Any] | Rejection]:
    """The entries of a pickle, which cannot be read in pieces: read whole, in a child that can be killed."""
    try:
        with Isolated(timeout_s=_PICKLE_TIMEOUT_S, memory_bytes=_PICKLE_MEMORY) as child:
            records = child.call(load, path)
    except UnsafePickle as error:
        yield Rejection(file, None, "", f"the pickle is not read: {error}")
        return
    except MediaError as error:
        yield Rejection(file, None, "", f"the pickle is not read: {error.finding.message}")
        return
    for row, (key, value) in enumerate(records.items(), start=1):
        yield row, key, value


def _read_entry(key: str, value: Any, *, file: str, row: int, named: Named) -> VideoRow:
    if isinstance(value, BadField):
        raise value
    if not isinstance(value, dict):
        raise BadField("", f"the entry is no object but {type(value).__name__}")
    record = kept_record({key: value})
    name = checked_name(key, "")
    recording = text_field(value, "video_name", limit=MAX_RECORDING)
    if not recording.strip():
        raise BadField("video_name", "is empty")
    first, last = (
        whole_text(value.get("clip_start"), "clip_start"),
        whole_text(value.get("clip_end"), "clip_end"),
    )
    target = _target(value.get("target"))
    ego_involved, ego_only = _flag(value, "ego_envolve"), _flag(value, "ego_only")
    facts = Facts(frames=len(target), fps=FPS)
    facts.expect(
        len(target) == last - first + 1,
        ["target", "clip_start", "clip_end"],
        f"target has {len(target)} labels, clip_end - clip_start + 1 is {last - first + 1}",
    )
    whole_key = f"{recording}_{text_field(value, 'idx', limit=20, default='')}"
    facts.expect(
        key == whole_key, ["video_name", "idx"], f"video_name and idx make {whole_key}, the key is {key}"
    )
    facts.expect(
        not (ego_only and ego_involved is False),
        ["ego_only", "ego_envolve"],
        "ego_only is true, ego_envolve is false",
    )
    answers, more = _crash(target, facts)
    named.take(name, file, row, field="")
    return VideoRow(
        file=file,
        row=row,
        name=name,
        source=SOURCE,
        recording=recording,
        path=None,
        metadata={
            "ego_involved": ego_involved,
            "ego_only": ego_only,
            "start_frame_in_recording": first,
            "end_frame_in_recording": last + 1,
            **more,
            **facts.metadata(),
        },
        answers=answers,
        record=record,
    )


def _crash(target: list[int], facts: Facts) -> tuple[tuple[GivenAnswer, ...], dict[str, Any]]:
    """What the labels say: answers and metadata."""
    runs = positive_runs(target)
    facts.expect(bool(runs), ["target"], "target marks no frame, in a dataset of accidents")
    if not runs:
        return (), {}
    answers = [recognition("yes", "target: 1")]
    if len(runs) > 1:
        runs_us = [[frame_time_us(start, FPS), frame_time_us(end, FPS)] for start, end in runs]
        return tuple(answers), {"segments_us": runs_us}
    start, end = runs[0]
    facts.span(start, end, fields=("target", "target"), frames_field="target")
    answers.append(span_answer(start, end, FPS, f"target: 1 from frame {start} to frame {end - 1}"))
    return tuple(answers), {}


def _target(value: Any) -> list[int]:
    if not isinstance(value, list):
        raise BadField(
            "target", "is missing" if value is None else f"must be a list, not {type(value).__name__}"
        )
    if not 0 < len(value) <= MAX_FRAMES:
        raise BadField("target", f"has {len(value)} labels")
    for frame, label in enumerate(value):
        if isinstance(label, list | dict | str) or label not in (0, 1):
            raise BadField("target", f"the label of frame {frame} is {str(label)[:20]!r}, not 0 or 1")
    return [int(label) for label in value]


def _flag(value: dict[str, Any], field: str) -> bool | None:
    """A flag, or None when the record lacks it. The published pickle has bools."""
    flag = value.get(field)
    if flag is None or isinstance(flag, bool):
        return flag
    raise BadField(field, f"must be true or false, not {type(flag).__name__}")


FORMAT = Format(
    title="A3D (AnAn Accident Detection)",
    read=read,
    fills="name (the clip's key), recording (the YouTube id), recognition and crash span (the frames that target "
    "marks); ego involvement and place in the recording as metadata",
)
