"""Reader of Label Studio's exports, JSON and JSON_MIN: a list of tasks on videos, with what people said.

Read are: timeline ranges (TimelineLabels), one yes/no choice (Choices) and texts (TextArea), under the names of
CrashDesk's own form unless the option "controls" says others:

    {"crash_recognition": {"control": "crash", "yes": ["Yes"], "no": ["No"]},
     "crash_localization": {"control": "segments", "label": "Crash"},
     "pre_crash_localization": {"control": "segments", "label": "Pre-crash"},
     "crash_description": {"control": "description"}, "causal_reasoning": ..., "prevention_reasoning": ...}

Everything else (boxes, other labels) stays in the record only, and metadata counts it. Of a task's annotations the
newest that was not cancelled speaks; predictions and drafts are nobody's answer and are not read.

Label Studio counts frames from 1 and both ends of a range belong to it: range a to b is on screen from (a - 1) / fps
to b / fps. It never looks at the video's rate but multiplies by the one its form was given, and by 24 when it was
given none, without a word. So the rate must be in the task's data (fps, frame_rate, frameRate) or in the option
"fps"; a range without one is rejected. The onset is the first frame of its range.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qs, unquote, urlsplit

from annotations.corpora.importers.places import CLIP_SUFFIXES
from annotations.corpora.importers.reading import Format, Reading, files_at, unreadable
from annotations.corpora.importers.rows import (
    KINDS,
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
from annotations.corpora.importers.tabular import TableError, json_items, plain, printable
from annotations.corpora.importers.times import frame_of, frame_us, rate_of

DEFAULT_CONTROLS: Final[dict[str, dict[str, Any]]] = {
    "crash_recognition": {"control": "crash", "yes": ["Yes"], "no": ["No"]},
    "crash_localization": {"control": "segments", "label": "Crash"},
    "pre_crash_localization": {"control": "segments", "label": "Pre-crash"},
    "crash_description": {"control": "description"},
    "causal_reasoning": {"control": "cause"},
    "prevention_reasoning": {"control": "prevention"},
}
_TIME_KINDS: Final = ("crash_localization", "pre_crash_localization")
_RATE_KEYS: Final = ("fps", "frame_rate", "frameRate", "framerate")
_NAME_KEYS: Final = ("name", "file_name", "filename")
_OWN_FIELDS: Final = frozenset({"recording", "source", "split", *_RATE_KEYS, *_NAME_KEYS})
_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")


def files_of(path: Path) -> list[Path]:
    """The exports to read: `path` itself, or all JSON files below the folder, sorted by name."""
    return files_at(path, lambda file: file.suffix == ".json")


def read(reading: Reading) -> Iterator[VideoRow | Rejection]:
    """The videos of every export at the path.

    Options: "fps" for tasks that state none, "controls" (see above), "video": the key of a task's data that holds
    the video, where it is not the only one that looks like it.
    """
    try:
        controls = Controls.of(reading.options.get("controls"))
        option = reading.options.get("fps")
        fps = None if option in (None, "") else rate_of(option, "fps")
        key = reading.options.get("video", "")
        if not isinstance(key, str):
            raise BadField("video", "must be the name of a field of the tasks' data")
    except BadField as problem:
        where = reading.name_of(reading.path)
        yield Rejection(where, None, problem.field[:MAX_FIELD], f"option {problem.field}: {problem.reason}")
        return
    files = files_of(reading.path)
    reading.expect(files)
    for file in files:
        taker = Taker(reading.name_of(file), controls, fps, key)
        try:
            with reading.open(file) as stream:
                yield from read_stream(stream, taker=taker)
        except OSError as error:
            yield unreadable(taker.file, error)


def read_stream(stream: BinaryIO, *, taker: "Taker") -> Iterator[VideoRow | Rejection]:
    """The videos of one export, a task in memory at a time. Broken JSON ends the file with a rejection."""
    newest: tuple[int, Any] | None = None
    count, broken = 0, None
    try:
        # JSON_MIN writes one object for each annotation, those of one task after each other.
        for numbered in json_items(stream):
            if newest is not None and _task_key(newest) == _task_key(numbered):
                newest, count = max(newest, numbered, key=lambda one: _age(one[1])), count + 1
                continue
            if newest is not None:
                yield from taker.take(*newest, annotations=count)
            newest, count = numbered, 1
    except TableError as error:
        broken = Rejection(taker.file, error.line, "", error.reason)
    if newest is not None:
        yield from taker.take(*newest, annotations=count)
    if broken is not None:
        yield broken


def _task_key(numbered: tuple[int, Any]) -> object:
    """What is the same for the annotations of one JSON_MIN task, and different for all else."""
    number, item = numbered
    if isinstance(item, dict) and "data" not in item and isinstance(item.get("id"), int):
        return ("task", item["id"])
    return ("row", number)


def _age(annotation: Mapping[str, Any]) -> tuple[float, float]:
    """When an annotation was last touched, and made: seconds since 1970, before all others when it does not say."""
    ages = []
    for key in ("updated_at", "created_at"):
        age = float("-inf")
        if isinstance(text := annotation.get(key), str):
            with suppress(ValueError, OverflowError, OSError):
                moment = datetime.fromisoformat(text)
                age = (moment if moment.tzinfo else moment.astimezone()).timestamp()
        ages.append(age)
    return ages[0], ages[1]


@dataclass(frozen=True)
class Controls:
    """Which control of the form answers which kind."""

    by_kind: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, option: Any) -> "Controls":
        """The own form's, with those of the option in their place. BadField when the option is no such thing."""
        if option in (None, ""):
            return cls(DEFAULT_CONTROLS)
        if not isinstance(option, dict):
            raise BadField("controls", "must be an object of kinds")
        controls = dict(DEFAULT_CONTROLS)
        for kind, given in option.items():
            if kind not in KINDS:
                raise BadField(
                    "controls", f"{str(kind)[:60]!r} is no kind of question; there are {', '.join(KINDS)}"
                )
            known = DEFAULT_CONTROLS[kind]
            if not isinstance(given, dict) or not given.keys() <= known.keys():
                raise BadField("controls", f"{kind} must be an object of {', '.join(known)}")
            for key, value in given.items():
                is_list = isinstance(known[key], list)
                texts = value if is_list and isinstance(value, list) else [] if is_list else [value]
                if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
                    raise BadField(
                        "controls", f"{kind}: {key} must be {'a list of texts' if is_list else 'a text'}"
                    )
            controls[kind] = {**known, **given}
        return cls(controls)

    @property
    def names(self) -> set[str]:
        """The names of the controls that answer something."""
        return {str(known["control"]) for known in self.by_kind.values()}

    def kind_of(self, control: str, value: Mapping[str, Any]) -> str | None:
        """The kind that a region of a control answers, or None."""
        for kind, known in self.by_kind.items():
            if known["control"] != control:
                continue
            if kind not in _TIME_KINDS:
                return kind if ("choices" if kind == "crash_recognition" else "text") in value else None
            labels = value.get("timelinelabels")
            if isinstance(labels, list) and [_word(label) for label in labels] == [_word(known["label"])]:
                return kind
        return None


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


@dataclass
class Taker:
    """Turns the tasks of one export into videos."""

    file: str
    controls: Controls
    fps: Fraction | None
    video_key: str = ""
    named: dict[str, int] = field(default_factory=dict)

    def take(self, number: int, item: Any, *, annotations: int = 1) -> Iterator[VideoRow | Rejection]:
        """The video of one task, and what it says that cannot be used.

        `annotations`: how many JSON_MIN has of the task, of which `item` is the newest.
        """
        name = ""
        try:
            if not isinstance(item, dict):
                raise BadField("", f"the task is no object but {type(item).__name__}")
            item = plain(item)
            if isinstance(item.get("data"), dict):
                task = _task_of(item)
            else:
                task = _task_of_min(item, self.controls.names, annotations)
            address = self.address(task.data)
            name, url = self.name_of(task.data, address)
            if name in self.named:
                raise BadField("video", f"{name} is answered by task {self.named[name]} already")
            answers, lost, other = self.answers(number, name, task)
            metadata = {**self.kept_data(task.data, address), **task.about}
            if other:
                metadata["other_regions"] = other
            recording = _text(task.data, "recording", MAX_RECORDING)
            video = VideoRow(
                file=self.file,
                row=number,
                name=name,
                source=_text(task.data, "source", MAX_SOURCE),
                recording=recording or str(PurePosixPath(name).with_suffix(""))[-MAX_RECORDING:],
                recording_origin="format" if recording else "name",
                path=None,
                metadata=checked_metadata(metadata, "data"),
                split=_text(task.data, "split", MAX_SPLIT),
                url=url,
                answers=answers,
                record=kept_record(item),
            )
        except BadField as problem:
            yield Rejection(self.file, number, problem.field[:MAX_FIELD], problem.reason, name=name)
            return
        self.named[name] = number
        yield from lost
        yield video

    def address(self, data: Mapping[str, Any]) -> str:
        """The video as the task's data has it. BadField when there is none, or several and no option says which."""
        if self.video_key:
            value = data.get(self.video_key)
            if not isinstance(value, str) or not value.strip():
                raise BadField(self.video_key, "the task's data holds no video there")
            return value.strip()
        found = {
            key: value.strip()
            for key, value in data.items()
            if isinstance(value, str) and PurePosixPath(_below(value.strip())).suffix.lower() in CLIP_SUFFIXES
        }
        for key in ("video", "video_url", "url"):
            if key in found:
                return found[key]
        found = {key: value for key, value in found.items() if key not in _NAME_KEYS} or found
        if isinstance(data.get("video"), str) and data["video"].strip():
            return str(data["video"]).strip()
        if len(found) != 1:
            what = (
                "no field that looks like one"
                if not found
                else f"several: {printable(', '.join(sorted(found)))}"
            )
            raise BadField(
                "data", f'which field is the video? There is {what[:200]}; say it with the option "video"'
            )
        return next(iter(found.values()))

    def name_of(self, data: Mapping[str, Any], address: str) -> tuple[str, str]:
        """(the video's name, its address where that leads somewhere else). A name in the data comes first."""
        checked_text(address, "video", limit=MAX_URL)
        url = address if _scheme(address) in ("http", "https", "s3") else ""
        for key in _NAME_KEYS:
            if isinstance(own := data.get(key), str) and own.strip():
                return checked_name(own.strip(), key), url
        path = PurePosixPath(_below(address))
        if path.parts[:2] == (
            "data",
            "upload",
        ):  # Label Studio puts eight digits before an uploaded file's name
            path = PurePosixPath(_UPLOAD.sub("", path.name, count=1))
        return checked_name(str(path)[-MAX_NAME:].lstrip("/"), "video"), url

    def kept_data(self, data: Mapping[str, Any], address: str) -> dict[str, Any]:
        """The task's data without what has a place of its own."""
        return {
            key: value
            for key, value in data.items()
            if key not in _OWN_FIELDS and value not in (address, None, "")
        }

    def rate(self, data: Mapping[str, Any]) -> Fraction:
        """Frames per second that the form was given."""
        for key in _RATE_KEYS:
            if data.get(key) not in (None, ""):
                return rate_of(data[key], key)
        if self.fps is None:
            raise BadField(
                "fps",
                'the task states no frame rate, and Label Studio then silently took 24: give the option "fps"',
            )
        return self.fps

    def answers(
        self, number: int, name: str, task: "_Task"
    ) -> tuple[tuple[GivenAnswer, ...], list[Rejection], int]:
        """What the task says, the rejections of what cannot be used, how many regions answer none of the questions."""
        by_kind: dict[str, list[Mapping[str, Any]]] = {}
        other = 0
        for control, value in task.regions:
            kind = self.controls.kind_of(control, value)
            if kind is None:
                other += 1
            else:
                by_kind.setdefault(kind, []).append(value)
        found: list[GivenAnswer] = []
        lost: list[Rejection] = []
        for kind in KINDS:
            if kind not in by_kind:
                continue
            try:
                if (answer := self.answer(kind, by_kind[kind], task.data)) is not None:
                    found.append(answer)
            except BadField as problem:
                lost.append(
                    Rejection(
                        self.file, number, problem.field[:MAX_FIELD], problem.reason, name=name, kind=kind
                    )
                )
        return tuple(found), lost, other

    def answer(
        self, kind: str, values: list[Mapping[str, Any]], data: Mapping[str, Any]
    ) -> GivenAnswer | None:
        control = self.controls.by_kind[kind]
        title = str(control["control"])
        if kind in _TIME_KINDS:
            ranges = [span for value in values for span in _as_list(value.get("ranges"))]
            if len(ranges) != 1 or not isinstance(ranges[0], dict):
                raise BadField(title, f"{len(ranges)} ranges {control['label']!r} where one is asked for")
            return self.range_answer(kind, title, ranges[0], data)
        if kind == "crash_recognition":
            choices = [choice for value in values for choice in _as_list(value.get("choices"))]
            sides = {
                side
                for side in ("yes", "no")
                for choice in choices
                if _word(choice) in [_word(word) for word in control[side]]
            }
            if len(sides) != 1 or len(choices) != 1:
                raise BadField(
                    title, f"{str(choices)[:60]} is neither of {control['yes']} and {control['no']}"
                )
            return GivenAnswer(kind, {"label": sides.pop()}, checked_text(choices[0], title, limit=None))
        parts = [part for value in values for part in _as_list(value.get("text"))]
        if not all(isinstance(part, str) for part in parts):
            raise BadField(title, "the text holds something that is no text")
        text = checked_text("\n".join(part.strip() for part in parts).strip(), title, limit=None)
        return GivenAnswer(kind, {"text": text}, text) if text else None

    def range_answer(
        self, kind: str, title: str, span: Mapping[str, Any], data: Mapping[str, Any]
    ) -> GivenAnswer:
        first, last = frame_of(span.get("start"), title), frame_of(span.get("end"), title)
        if not 1 <= first <= last:
            raise BadField(title, f"frames {first} to {last}: Label Studio counts from 1")
        fps = self.rate(data)
        start_us = frame_us(first - 1, fps, title)
        raw_text = f"frames {first} to {last} at {fps} fps"
        if kind == "crash_localization":
            return GivenAnswer(kind, {"start_us": start_us, "end_us": frame_us(last, fps, title)}, raw_text)
        return GivenAnswer(kind, {"at_us": start_us}, raw_text)


@dataclass(frozen=True)
class _Task:
    """A task, whichever export it is of: its data, what was said (control, value), and what is worth keeping of it."""

    data: dict[str, Any]
    regions: list[tuple[str, Mapping[str, Any]]]
    about: dict[str, Any]


def _task_of(item: Mapping[str, Any]) -> _Task:
    given = item.get("annotations", item.get("completions"))
    annotations = [each for each in _as_list(given) if isinstance(each, dict)]
    completed = [
        each
        for each in annotations
        if each.get("was_cancelled") is not True and each.get("skipped") is not True
    ]
    about: dict[str, Any] = {"label_studio": {"task": item.get("id"), "annotations": len(completed)}}
    if len(annotations) > len(completed):
        about["label_studio"]["cancelled"] = len(annotations) - len(completed)
    if people := {
        str(each.get("completed_by")) for each in completed if each.get("completed_by") is not None
    }:
        about["label_studio"]["annotators"] = len(people)
    if not completed:
        return _Task(dict(item["data"]), [], about)
    newest = completed[max(range(len(completed)), key=lambda place: (_age(completed[place]), place))]
    about["label_studio"]["annotation"] = newest.get("id")
    regions = [
        (region["from_name"], region["value"])
        for region in _as_list(newest.get("result"))
        if isinstance(region, dict)
        and isinstance(region.get("from_name"), str)
        and isinstance(region.get("value"), dict)
    ]
    return _Task(dict(item["data"]), regions, about)


_MIN_FIELDS: Final = frozenset(
    {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement"}
)


def _task_of_min(item: Mapping[str, Any], controls: set[str], annotations: int) -> _Task:
    """JSON_MIN lays data and answers side by side, and writes a single choice or text bare."""
    regions: list[tuple[str, Mapping[str, Any]]] = []
    data: dict[str, Any] = {}
    for key, value in item.items():
        if key in _MIN_FIELDS:
            continue
        if key not in controls:
            data[key] = value
        elif listed := [each for each in _as_list(value) if isinstance(each, dict)]:
            regions += [(key, each) for each in listed]
        elif value not in (None, "", []):
            regions.append((key, {"choices": value, "text": value}))
    return _Task(data, regions, {"label_studio": {"task": item.get("id"), "annotations": annotations}})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(data: Mapping[str, Any], key: str, limit: int) -> str:
    value = data.get(key)
    return checked_text(value.strip(), key, limit=limit) if isinstance(value, str) else ""


def _scheme(address: str) -> str:
    """The scheme of an address, "" when it has none or is no address."""
    try:
        return urlsplit(address).scheme
    except ValueError:
        return ""


def _below(address: str) -> str:
    """The path that an address leads to: of local files (`/data/local-files/?d=...`) what lies below their root."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    if parts.path.rstrip("/").endswith("/data/local-files"):
        return next(iter(parse_qs(parts.query).get("d", [])), "").lstrip("/")
    return unquote(parts.path).lstrip("/") if parts.scheme or address.startswith("/") else address


FORMAT = Format(
    title="Label Studio export (JSON or JSON_MIN)",
    read=read,
    fills="source, recording and split where the tasks' data has them (else the recording is the clip's own name), "
    "any of the six answers, and the rest of the tasks' data as metadata",
)
