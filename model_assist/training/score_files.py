"""Prediction files and truth files, read row by row: what cannot be used is left out and told, never the whole file.

Layouts, all as a JSON list, as an object that holds one, or as JSON lines; docs/metrics.md shows each:

- CrashChat's evaluation: video_path, gt_* and pred_* fields by task, raw_response. One file per task.
- CrashChat's data: video, conversations (human, gpt), source. As a truth file, or as predictions of a truth file.
- general: a video, a kind, a prediction and, unless a truth file gives it, a truth.
- `python -m model_assist.crashchat` with a video: answers by kind.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from model_assist.crashchat import kinds as k
from model_assist.crashchat.parsing import MAX_WHOLE_DIGITS, parse_answer
from model_assist.training.metrics.pairs import MICROSECONDS

State = k.State
Read = tuple[State, dict[str, Any] | None]
Published = str | float | tuple[float, float] | None

ALIASES: Final = (
    ("pre_crash_localization", k.PRE_CRASH_LOCALIZATION),
    ("precrash_localization", k.PRE_CRASH_LOCALIZATION),
    ("anticipation_localization", k.PRE_CRASH_LOCALIZATION),
    ("crash_localization", k.CRASH_LOCALIZATION),
    ("temporal_localization", k.CRASH_LOCALIZATION),
    ("crash_recognition", k.CRASH_RECOGNITION),
    ("accident_recognition", k.CRASH_RECOGNITION),
    ("crash_description", k.CRASH_DESCRIPTION),
    ("accident_caption", k.CRASH_DESCRIPTION),
    ("causal_reasoning", k.CAUSAL_REASONING),
    ("cause_reasoning", k.CAUSAL_REASONING),
    ("accident_cause", k.CAUSAL_REASONING),
    ("prevention_reasoning", k.PREVENTION_REASONING),
    ("accident_measure", k.PREVENTION_REASONING),
)
"""What names a task in a `kind` field or a file's name; the first that fits counts, so the longer come first."""

FIELDS: Final[dict[tuple[str, ...], str]] = {
    ("label",): k.CRASH_RECOGNITION,
    ("caption",): k.CRASH_DESCRIPTION,
    ("cause",): k.CAUSAL_REASONING,
    ("text",): k.PREVENTION_REASONING,
    ("start", "end"): k.CRASH_LOCALIZATION,
    ("time",): k.PRE_CRASH_LOCALIZATION,
}
"""The ends of the gt_ and pred_ names that CrashChat's evaluation gives each task; `text` may be any text task."""

VIDEO: Final = ("video_path", "video", "clip", "path", "file")
KIND: Final = ("kind", "task", "task_type")
SAID: Final = ("raw_response", "response", "prediction", "predicted", "raw_text", "output")
TRUE: Final = ("truth", "ground_truth", "gt", "answer", "reference")
LISTS: Final = ("results", "infos", "predictions", "data", "rows", "clips")


class ScoreFileError(ValueError):
    """A file that cannot be used at all; the message names it and says where it breaks."""


class RowError(ValueError):
    """A row that cannot be used: which field, and why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class LeftOut:
    """A row (from 1; 0 for a whole file) that is in no score."""

    file: str
    row: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}, row {self.row}" if self.row else self.file
        return f"{place}, {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


@dataclass(frozen=True)
class Row:
    """One answer to one question about one clip. `truth` and `said` are None where the row has none of it."""

    file: str
    row: int
    video: str
    kind: str
    truth: Read | None
    said: Read | None
    raw: str | None = None
    published: Published = None
    source: str = ""
    recording: str = ""


@dataclass
class Rows:
    """What some files hold, and what of them is left out."""

    rows: list[Row] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def read_files(paths: Sequence[Path], *, truth: bool, kind: str = "") -> Rows:
    """Every usable row of files and of the .json and .jsonl files in folders.

    truth: gpt's words in CrashChat's data are the true answer; otherwise they are the prediction. kind: the task of
    rows that do not name theirs. Raises ScoreFileError when a path is missing or none holds a single row.
    """
    found = Rows()
    files = [file for path in paths for file in _files(path)]
    for file in files:
        found.files.append(str(file))
        try:
            items = list(_items(file))
        except ScoreFileError as error:
            found.left_out.append(LeftOut(str(file), 0, "", str(error)))
            continue
        named = kind or kind_of_name(file.name)
        for number, item in items:
            try:
                found.rows += _rows(item, str(file), number, named, truth)
            except RowError as error:
                found.left_out.append(LeftOut(str(file), number, error.field, str(error)))
    if not found.rows:
        first = f" First: {found.left_out[0]}" if found.left_out else ""
        raise ScoreFileError(f"{', '.join(map(str, paths))}: no row that can be used.{first}")
    return found


def kind_of_name(name: str) -> str:
    """The task that a name speaks of, or ""."""
    plain = name.lower().replace("-", "_").replace(" ", "_")
    return next((kind for words, kind in ALIASES if words in plain), "")


def video_key(path: str) -> str:
    """What a clip is known by in every file: its name without folders, as CrashChat's evaluation joins them."""
    return PureWindowsPath(PurePosixPath(path).name).name


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.suffix in (".json", ".jsonl") and p.is_file())
        if not inside:
            raise ScoreFileError(f"{path}: the folder holds no .json or .jsonl file")
        return inside
    if not path.is_file():
        raise ScoreFileError(f"{path}: there is no such file")
    return [path]


def _items(file: Path) -> Iterator[tuple[int, Any]]:
    """Numbered rows; a line of JSON lines that is not JSON is yielded as the error that it is."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScoreFileError(f"cannot be read as UTF-8 text: {error}") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise ScoreFileError("the file is empty")
    if file.suffix == ".jsonl" or _is_json_lines(text, lines):
        for number, line in lines:
            try:
                yield number, json.loads(line)
            except ValueError as error:
                yield number, error
        return
    try:
        whole = json.loads(text)
    except ValueError as error:
        raise ScoreFileError(f"is not JSON: {error}") from error
    yield from enumerate(_list_of(whole), 1)


def _is_json_lines(text: str, lines: Sequence[tuple[int, str]]) -> bool:
    """Whether a file that is not called .jsonl holds an object per line all the same."""
    if len(lines) < 2 or not lines[0][1].lstrip().startswith("{"):
        return False
    try:
        json.loads(lines[0][1])
    except ValueError:
        return False
    return True


def _list_of(whole: Any) -> list[Any]:
    if isinstance(whole, list):
        return whole
    if isinstance(whole, dict):
        for name in LISTS:
            if isinstance(whole.get(name), list):
                return list(whole[name])
        return [whole]
    raise ScoreFileError("holds neither a list nor an object")


def _rows(item: Any, file: str, number: int, named: str, truth: bool) -> list[Row]:
    """The answers that one row holds. Raises RowError."""
    if isinstance(item, ValueError):
        raise RowError("", f"is not JSON: {item}")
    if not isinstance(item, dict):
        raise RowError("", f"is {_type(item)}, not an object")
    video = _video(item)
    about = {"source": _text_of(item, "source"), "recording": _text_of(item, "recording")}
    if isinstance(item.get("answers"), dict):
        if not item["answers"]:
            raise RowError("answers", "holds no answer")
        return [
            _answer(file, number, video, kind, said, truth, about) for kind, said in item["answers"].items()
        ]
    kind = _kind(item, named)
    true, told, raw, published = _contents(item, kind, truth)
    if true is None and told is None and raw is None:
        wanted = "truth" if truth else "prediction"
        raise RowError(
            "", f"holds no {wanted} (looked for {', '.join(TRUE if truth else SAID)} and CrashChat's fields)"
        )
    said = told if told is not None else _parsed(kind, raw) if raw is not None else None
    if raw is not None and told is not None and said is not None:
        read = _parsed(kind, raw)
        said = read if read[0] in ("unparsable", "absent") else said
    return [Row(file, number, video, kind, true, said, raw, published, **about)]


def _answer(
    file: str, number: int, video: str, kind: str, said: Any, truth: bool, about: Mapping[str, str]
) -> Row:
    """One of the answers that the engine gave, or its words."""
    where = f"answers.{kind}"
    if kind not in k.ALL:
        raise RowError(where, "is no kind of question")
    raw = said if isinstance(said, str) else said.get("raw_text") if isinstance(said, dict) else None
    if not isinstance(raw, str):
        raise RowError(where, "has no words (raw_text)")
    read = _parsed(kind, raw)
    if isinstance(said, dict) and said.get("state") == "absent" and not raw:
        read = ("absent", None)
    if truth:
        return Row(file, number, video, kind, _true(kind, raw, where), None, **about)
    return Row(file, number, video, kind, None, read, raw or None, None, **about)


def _contents(
    item: Mapping[str, Any], kind: str, truth: bool
) -> tuple[Read | None, Read | None, str | None, Published]:
    """(true, predicted by fields, words predicted, as CrashChat's evaluation wrote it)."""
    spoken = _spoken(item)
    raw = _first_text(item, SAID)
    gt_name, gt = _first(item, TRUE)
    true = _fields(item, kind, "gt")
    told = _fields(item, kind, "pred")
    if true is None and spoken is not None and (truth or raw is not None or told is not None):
        true = _true(kind, spoken, "conversations")
    elif raw is None and told is None and spoken is not None:
        raw = spoken
    if true is None and gt is not None:
        true = _true(kind, gt, gt_name)
    if truth:
        return true, None, None, None
    published = _published(item, kind) if told is not None else None
    return true, told, raw, published


def _fields(item: Mapping[str, Any], kind: str, prefix: str) -> Read | None:
    """The answer in CrashChat's own fields, or None where the row has none. A prediction may be anything."""
    names = _names(item, kind, prefix)
    if not names:
        return None
    values = [item[name] for name in names]
    if kind not in k.PERCEPTION:
        if not isinstance(values[0], str):
            if prefix == "pred" and values[0] is None:
                return "unparsable", None
            raise RowError(names[0], f"is {_type(values[0])}, not text")
        return _true(kind, values[0], names[0]) if prefix == "gt" else _parsed(kind, values[0])
    if prefix == "pred" and any(value is None for value in values):
        return "unparsable", None
    times = [_microseconds(value, name) for value, name in zip(values, names, strict=True)]
    if kind == k.PRE_CRASH_LOCALIZATION:
        return "valued", {"at_us": times[0]}
    if times[1] < times[0]:
        if prefix == "pred":
            return "unparsable", None
        raise RowError(names[1], "the true span ends before it starts")
    return "valued", {"start_us": times[0], "end_us": times[1]}


def _published(item: Mapping[str, Any], kind: str) -> Published:
    values = [item[name] for name in _names(item, kind, "pred")]
    if any(value is None for value in values):
        return None
    if kind == k.CRASH_LOCALIZATION:
        return float(values[0]), float(values[1])
    return float(values[0]) if kind == k.PRE_CRASH_LOCALIZATION else str(values[0])


def _names(item: Mapping[str, Any], kind: str, prefix: str) -> list[str]:
    """The names of the row's own fields of that kind, all or none."""
    own = [ends for ends, task in FIELDS.items() if task == kind]
    if kind in k.TEXT_KINDS:
        own.append(("text",))
    for ends in own:
        names = [f"{prefix}_{end}" for end in ends]
        there = [name in item for name in names]
        if all(there):
            return names
        if any(there):
            raise RowError(names[there.index(False)], "is missing")
    return []


def _kind(item: Mapping[str, Any], named: str) -> str:
    """The task: what the row says, else what its fields are those of, else what the file is called."""
    for name in KIND:
        if item.get(name) is not None:
            found = kind_of_name(str(item[name]))
            if not found:
                raise RowError(
                    name, f"{str(item[name])[:60]!r} is no kind of question; the kinds are {', '.join(k.ALL)}"
                )
            return found
    by_fields = [
        kind
        for ends, kind in FIELDS.items()
        if any(f"{prefix}_{end}" in item for prefix in ("gt", "pred") for end in ends)
    ]
    if by_fields and not (by_fields == [k.PREVENTION_REASONING] and named in k.TEXT_KINDS):
        return by_fields[0]
    if named:
        return named
    raise RowError("kind", "cannot tell the task: name it in the row or the file's name, or give --kind")


def _video(item: Mapping[str, Any]) -> str:
    name, value = _first(item, VIDEO)
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
    if not isinstance(value, str) or not video_key(value):
        raise RowError(name or "video", f"names no clip (looked for {', '.join(VIDEO)})")
    return video_key(value)


def _spoken(item: Mapping[str, Any]) -> str | None:
    """The answer in CrashChat's conversation, or None where there is no conversation."""
    if "conversations" not in item:
        return None
    turns = item["conversations"]
    answers = [
        turn.get("value") for turn in turns if isinstance(turn, dict) and turn.get("from") == "gpt"
    ] if isinstance(turns, list) else []  # fmt: skip
    if len(answers) != 1 or not isinstance(answers[0], str):
        raise RowError("conversations", f"holds {len(answers)} answers in words, not one")
    return answers[0]


def _true(kind: str, text: Any, where: str) -> Read:
    """A true answer. Raises RowError when it is none: a wrong truth must not score anybody."""
    if isinstance(text, int | float) and not isinstance(text, bool) and kind == k.PRE_CRASH_LOCALIZATION:
        return "valued", {"at_us": _microseconds(text, where)}
    if not isinstance(text, str):
        raise RowError(where, f"is {_type(text)}, not text")
    read = parse_answer(kind, text, duration_us=None)
    if read.state not in ("valued", "absent"):
        raise RowError(where, f"{text[:60]!r} is no true answer: {read.reason}")
    return read.state, read.value


def _parsed(kind: str, text: str) -> Read:
    read = parse_answer(kind, text, duration_us=None)
    return read.state, read.value


def _microseconds(value: Any, name: str) -> int:
    try:
        seconds = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0 or seconds >= 10**MAX_WHOLE_DIGITS:
        raise RowError(name, f"{str(value)[:40]!r} is no time in seconds")
    return round(seconds * MICROSECONDS)


def _first(item: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    return next(((name, item[name]) for name in names if item.get(name) is not None), ("", None))


def _first_text(item: Mapping[str, Any], names: Sequence[str]) -> str | None:
    name, value = _first(item, names)
    if isinstance(value, dict) and isinstance(value.get("raw_text"), str):
        return str(value["raw_text"])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise RowError(name, f"is {_type(value)}, not text")
    return value


def _text_of(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
