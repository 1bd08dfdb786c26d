"""Running a reader over files in tests."""

from pathlib import Path
from types import ModuleType
from typing import Any

from annotations.corpora.importers.reading import Reading
from annotations.corpora.importers.rows import Rejection, VideoRow


def run(module: ModuleType, path: Path, **options: Any) -> tuple[list[VideoRow], list[Rejection]]:
    """What the module's reader makes of the path: rows and rejections, in the files' order."""
    found = list(module.read(Reading(path, options)))
    rows = [item for item in found if isinstance(item, VideoRow)]
    return rows, [item for item in found if isinstance(item, Rejection)]


def spans(rows: list[VideoRow]) -> dict[str, tuple[int, int]]:
    """The crash spans in microseconds by clip."""
    return {
        row.name: (answer.value["start_us"], answer.value["end_us"])
        for row in rows
        for answer in row.answers
        if answer.kind == "crash_localization"
    }


def labels(rows: list[VideoRow]) -> dict[str, str]:
    """The answers to recognition by clip."""
    return {
        row.name: answer.value["label"]
        for row in rows
        for answer in row.answers
        if answer.kind == "crash_recognition"
    }


def contradictions(rows: list[VideoRow]) -> dict[str, list[str]]:
    """The messages under metadata["inconsistent"] by clip, of the clips that have any."""
    return {
        row.name: [item["message"] for item in row.metadata["inconsistent"]]
        for row in rows
        if "inconsistent" in row.metadata
    }
