"""Reader of a plain folder of clips. Every file becomes a video, so that nothing is dropped in silence."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import (
    MAX_RECORDING,
    MAX_SOURCE,
    BadField,
    Rejection,
    VideoRow,
    checked_name,
    shown,
)

NOT_CLIPS: Final = frozenset({".json", ".jsonl", ".txt"})


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """All files below the folder, sorted: (clips, files left aside: manifests, hidden files, no regular files)."""
    clips: list[Path] = []
    aside: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            is_clip = path.is_file() and not name.startswith(".") and path.suffix.lower() not in NOT_CLIPS
            (clips if is_clip else aside).append(path)
    return clips, aside


def read(reading: Reading) -> Iterator[VideoRow | Rejection]:
    """Every file below the folder; how far it is counts in clips."""
    clips, aside = files_of(reading.path)
    reading.left_aside = [shown(item.relative_to(reading.path)) for item in aside]
    reading.total = len(clips)
    for row in read_files(reading.path, clips):
        reading.done += 1
        reading.message = row.file
        yield row


def read_files(folder: Path, clips: list[Path]) -> Iterator[VideoRow | Rejection]:
    """A video per file: named by its path below the folder, recording its stem, source the folder it lies in."""
    for path in clips:
        name = path.relative_to(folder).as_posix()
        try:
            checked_name(name, "name")
        except BadField as problem:
            yield Rejection(shown(name), None, problem.field, problem.reason)
            continue
        yield VideoRow(
            file=name,
            row=None,
            name=name,
            source=path.parent.name[:MAX_SOURCE],
            recording=path.stem[:MAX_RECORDING],
            recording_origin="name",
            path=path,
        )


FORMAT = Format(
    title="Folder of clips",
    read=read,
    fills="name (path below the folder), source (the folder it lies in), recording (its own name)",
    find_media=False,
    folder_only=True,
)
