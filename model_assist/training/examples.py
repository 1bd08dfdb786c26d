"""Training examples on disk: one JSON object per line, grouped by clip for training.

    {"video": "a.mp4", "kind": "crash_recognition", "prompt": "...", "answer": "Yes", "duration_us": 5000000}

`video` may be relative to the file's own folder; other keys are kept out of training and allowed.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_assist.crashchat.kinds import ALL
from model_assist.crashchat.prompts import clean_prompt


class ExampleError(ValueError):
    """An example file or line that cannot be used; the message names file, line and field."""


@dataclass(frozen=True)
class Example:
    """One question about one clip with the answer to learn."""

    video: Path
    kind: str
    prompt: str
    answer: str
    duration_us: int | None = None

    def to_json(self) -> str:
        """The line that `read_examples` reads."""
        return json.dumps(
            {
                "video": str(self.video),
                "kind": self.kind,
                "prompt": self.prompt,
                "answer": self.answer,
                "duration_us": self.duration_us,
            },
            ensure_ascii=False,
        )


@dataclass(frozen=True)
class ClipExamples:
    """All examples about one clip; they share its frames, its features and its prefix."""

    video: Path
    examples: tuple[Example, ...]


def read_examples(path: Path) -> list[Example]:
    """Read a whole file.  Raises ExampleError at the first unusable line, and for a file without examples."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ExampleError(f"{path}: cannot be read ({error})") from error
    found = [_read_line(path, i, line) for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ExampleError(f"{path}: no examples")
    return found


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Write examples, one per line; returns how many."""
    lines = [e.to_json() for e in examples]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(lines)


def group_by_clip(examples: Iterable[Example], kinds: Iterable[str] = ALL) -> list[ClipExamples]:
    """Examples of the given kinds by clip, clips and examples in order of first appearance."""
    wanted = set(kinds)
    groups: dict[Path, list[Example]] = {}
    for example in examples:
        if example.kind in wanted:
            groups.setdefault(example.video, []).append(example)
    return [ClipExamples(video, tuple(group)) for video, group in groups.items()]


def _read_line(path: Path, number: int, line: str) -> Example:
    where = f"{path}, line {number}"
    try:
        record: Any = json.loads(line)
    except ValueError as error:
        raise ExampleError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(record, dict):
        raise ExampleError(f"{where}: not a JSON object")
    for name in ("video", "kind", "prompt", "answer"):
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise ExampleError(f"{where}, field {name!r}: a non-empty text is needed")
    if record["kind"] not in ALL:
        raise ExampleError(f"{where}, field 'kind': {record['kind']!r} is not one of {', '.join(ALL)}")
    duration = record.get("duration_us")
    if duration is not None and (
        not isinstance(duration, int) or isinstance(duration, bool) or duration <= 0
    ):
        raise ExampleError(f"{where}, field 'duration_us': a positive integer or null is needed")
    try:
        prompt = clean_prompt(record["prompt"])
    except ValueError as error:
        raise ExampleError(f"{where}, field 'prompt': {error}") from error
    video = path.parent / record["video"]  # an absolute path stays as it is
    return Example(video, record["kind"], prompt, record["answer"].strip(), duration)
