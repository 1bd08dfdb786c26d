"""Reader of CrashChat's conversation files: a JSON list per kind of question, one human and one model turn a row.

The kind is told by the file's name. Rows are read one at a time, so a file of any size needs the memory of
one row; a bad row is a rejection and the reading goes on.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Final

from annotations.corpora.importers.json_stream import Unreadable, json_rows
from annotations.corpora.importers.reading import Format, Reading, files_at, unreadable
from annotations.corpora.importers.rows import (
    KINDS,
    MAX_RECORDING,
    MAX_SOURCE,
    BadField,
    GivenAnswer,
    Rejection,
    VideoRow,
    checked_name,
    checked_text,
    kept_record,
    text_field,
)

VIDEO_TOKEN: Final = "<video>"

# In this order: "crash_localization" is also the end of "pre_crash_localization".
_KIND_IN_NAME: Final = (
    ("pre_crash_localization", re.compile(r"pre_?crash_localization")),
    ("crash_localization", re.compile(r"crash_localization")),
    ("crash_recognition", re.compile(r"crash_recognition")),
    ("crash_description", re.compile(r"crash_description")),
    ("causal_reasoning", re.compile(r"(?:cause|causal)_reasoning")),
    ("prevention_reasoning", re.compile(r"prevention_reasoning")),
)
_HUMAN, _MODEL = ("human", "user"), ("gpt", "assistant")
_NUMBER = r"(\d{1,7}(?:\.\d{1,12})?)"
_UNIT = r"\s*(?:seconds?|secs?|s)?\s*\.?"
_SPAN = re.compile(rf"{_NUMBER}\s*(?:-|–|—|to)\s*{_NUMBER}{_UNIT}", re.ASCII | re.IGNORECASE)  # noqa: RUF001
_INSTANT = re.compile(rf"{_NUMBER}{_UNIT}", re.ASCII | re.IGNORECASE)
_LABEL = re.compile(r"(yes|no)\s*\.?", re.ASCII | re.IGNORECASE)
# D2-City clips are numbered inside a numbered set: d2city_1001_3015 is clip 3015 of set 1001.
_RECORDING_IN_STEM: Final = (re.compile(r"(d2city_\d+)_\d+", re.ASCII),)


def kind_of(file_name: str) -> str | None:
    """The kind that a file's name tells, or None when it tells none or several."""
    rest = re.sub(r"[-\s.]+", "_", file_name.lower())
    found = []
    for kind, pattern in _KIND_IN_NAME:
        rest, times = pattern.subn("|", rest)
        if times:
            found.append(kind)
    return found[0] if len(found) == 1 else None


def recording_of(name: str) -> tuple[str, str]:
    """The footage a clip was cut from, by the naming of its source, and what told it (a RecordingOrigin).

    D2-City `d2city_<set>_<clip>`: the set, because nothing finer is known of which clips are neighbours. MM-AU
    (`cap_<class>_<clip>`, `dada_<class>_<clip>`), Nexar (`nexar_<clip>`) and all else: the clip itself, its file
    name without folder and suffix.
    """
    last = name.rpartition("/")[2]
    stem = last.rpartition(".")[0] or last
    for pattern in _RECORDING_IN_STEM:
        if match := pattern.fullmatch(stem):
            return match[1], "format"
    return stem, "name"


def files_of(path: Path) -> list[Path]:
    """The JSON files to read: `path` itself, or all below the folder, sorted by name."""
    return files_at(path, lambda file: file.suffix == ".json")


def seconds_to_us(text: str) -> int:
    """Seconds in decimal writing to microseconds, exactly. BadField when it is finer than a microsecond."""
    scaled = Decimal(text) * 1_000_000
    if scaled != scaled.to_integral_value():
        raise BadField("answer", f"{text} s is finer than a microsecond")
    return int(scaled)


def parse_answer(kind: str, raw_text: str) -> dict[str, Any]:
    """The value that an answer's text stands for, in its kind's shape. BadField when it is no such answer."""
    text = raw_text.strip()
    if kind == "crash_recognition":
        if match := _LABEL.fullmatch(text):
            return {"label": match[1].lower()}
        raise BadField("answer", f"{text[:60]!r} is neither Yes nor No")
    if kind == "crash_localization":
        if match := _SPAN.fullmatch(text):
            return {"start_us": seconds_to_us(match[1]), "end_us": seconds_to_us(match[2])}
        raise BadField("answer", f"{text[:60]!r} is not of the form '1.9 - 4.0 seconds'")
    if kind == "pre_crash_localization":
        if match := _INSTANT.fullmatch(text):
            return {"at_us": seconds_to_us(match[1])}
        raise BadField("answer", f"{text[:60]!r} is not of the form '1.0 seconds'")
    if not text:
        raise BadField("answer", "is empty")
    return {"text": text}


def read(reading: Reading) -> Iterator[VideoRow | Rejection]:
    """All files at the path, one after the other; a file whose name tells no kind is rejected as a whole."""
    files = files_of(reading.path)
    reading.expect(files)
    for file in files:
        name, kind = reading.name_of(file), kind_of(file.name)
        try:
            with reading.open(file) as stream:
                if kind is None:
                    known = ", ".join(KINDS)
                    yield Rejection(
                        name, None, "", f"the file name tells no kind of question (one of {known})"
                    )
                else:
                    yield from read_stream(stream, file=name, kind=kind)
        except OSError as error:
            yield unreadable(name, error)


def prompts(reading: Reading) -> dict[str, str]:
    """The question of each kind: that of the first good row of its first file. Reads no further than that row."""
    found: dict[str, str] = {}
    for file in files_of(reading.path):
        kind = kind_of(file.name)
        if kind is not None and kind not in found:
            with suppress(OSError), reading.open(file) as stream:  # `read` will name it
                rows = read_stream(stream, file=reading.name_of(file), kind=kind)
                if row := next((row for row in rows if isinstance(row, VideoRow)), None):
                    found[kind] = row.answers[0].prompt
    return found


def read_stream(stream: BinaryIO, *, file: str, kind: str) -> Iterator[VideoRow | Rejection]:
    """The rows of one file. A second row for a clip is rejected; broken JSON ends the file with a rejection."""
    answered: dict[str, int] = {}
    try:
        for row, _, record in json_rows(stream, opening=b"[", what="list of rows"):
            yield _read_row(record, file=file, row=row, kind=kind, answered=answered)
    except Unreadable as error:
        yield Rejection(file, error.row, "", error.reason, kind=kind)


def _read_row(
    record: Any, *, file: str, row: int, kind: str, answered: dict[str, int]
) -> VideoRow | Rejection:
    name = ""
    try:
        if not isinstance(record, dict):
            raise BadField("", f"the row is no object but {type(record).__name__}")
        name = _video_name(record)
        if name in answered:
            raise BadField("video", f"{name} is answered by row {answered[name]} already")
        prompt, raw_text = _turns(record.get("conversations"))
        recording, recording_origin = recording_of(name)
        if "recording" in record:
            recording = text_field(record, "recording", limit=MAX_RECORDING)
            recording_origin = "format"
        video = VideoRow(
            file=file,
            row=row,
            name=name,
            source=text_field(record, "source", limit=MAX_SOURCE, default=""),
            recording=recording,
            recording_origin=recording_origin,
            path=None,
            answers=(GivenAnswer(kind, parse_answer(kind, raw_text), raw_text, prompt),),
            record=kept_record(record),
        )
    except BadField as problem:
        return Rejection(file, row, problem.field, problem.reason, name=name, kind=kind)
    answered[name] = row
    return video


def _video_name(record: dict[str, Any]) -> str:
    video = record.get("video")
    if isinstance(video, list):
        if len(video) != 1:
            raise BadField("video", f"must name one clip, not {len(video)}")
        video = video[0]
    if not isinstance(video, str):
        raise BadField(
            "video", "is missing" if video is None else f"must be text, not {type(video).__name__}"
        )
    return checked_name(video, "video")


def _turns(conversations: Any) -> tuple[str, str]:
    """The question, without the video's place holder, and the answer as written."""
    if not isinstance(conversations, list) or len(conversations) != 2:
        raise BadField("conversations", "must hold one question and one answer")
    texts = []
    for turn, speakers in zip(conversations, (_HUMAN, _MODEL), strict=True):
        if not isinstance(turn, dict) or turn.get("from") not in speakers:
            raise BadField("conversations", f"a turn from {speakers[0]!r} is missing")
        texts.append(text_field(turn, "value", limit=None))
    prompt = checked_text(
        texts[0].replace(VIDEO_TOKEN + "\n", "").replace(VIDEO_TOKEN, "").strip(), "prompt", limit=None
    )
    if not prompt:
        raise BadField("conversations", "the question is empty")
    return prompt, texts[1]


FORMAT = Format(
    title="CrashChat conversations",
    read=read,
    prompts=prompts,
    fills="source, recording (D2-City: the set in the name, else the clip's own name), the answer of the file's kind, "
    "and the prompts of the guideline",
)
