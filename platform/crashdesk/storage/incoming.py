"""Bytes on their way into the store: they arrive in a folder of it and move to their content's name when complete.

Moving is a hard link, so that a clip that has arrived is neither copied nor read again. What a killed process leaves
behind lies in `incoming/` and is swept away by age.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from django.core.files.storage import default_storage

from crashdesk.storage.files import is_local, put

FOLDER: Final = "incoming"


def incoming_folder() -> Path:
    """Where bytes arrive in a local store; it is made. ValueError where the store is a bucket."""
    if not is_local():
        raise ValueError("only a local store has a folder for incoming bytes")
    folder = Path(default_storage.path(FOLDER))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def place(name: str, path: Path) -> str:
    """Let the complete file `path` be the stored file `name`, unless that is there already; returns `name`.

    `path` stays where it is: whoever made it removes it once nobody will ask for it again.
    """
    if not is_local():
        return put(name, path)
    target = Path(default_storage.path(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    os.chmod(path, 0o644)
    try:
        os.link(path, target)
    except FileExistsError:
        return name
    except OSError:  # another file system, or one without hard links
        return put(name, path)
    sync_folder(target.parent)
    return name


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes() -> int | None:
    """How many more bytes a local store can take; None where the store is a bucket."""
    if not is_local():
        return None
    return shutil.disk_usage(incoming_folder()).free


def sweep(*, older_than_s: float, but: Collection[str]) -> int:
    """Remove files that nobody has written to for so long, except those called as in `but`; returns how many."""
    if not is_local():
        return 0
    removed, limit = 0, time.time() - older_than_s
    for path in incoming_folder().iterdir():
        if path.name not in but and path.is_file() and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


class Spool:
    """A file that bytes of unknown content are written to. A context manager: at its end the file is gone.

        with Spool() as spool:
            for piece in pieces: spool.write(piece)
            name = spool.store_as(content_name("videos", spool.sha256, ".mp4"))

    OSError when the disk refuses.
    """

    def __init__(self) -> None:
        folder = incoming_folder() if is_local() else None
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix="spool-", delete=False)  # noqa: SIM115
        self._digest = hashlib.sha256()
        self.path = Path(self._file.name)
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    def flush(self) -> None:
        """Let others read what was written, and make it durable."""
        self._file.flush()
        os.fsync(self._file.fileno())

    @property
    def sha256(self) -> str:
        """Of what was written so far, hexadecimal."""
        return self._digest.hexdigest()

    def store_as(self, name: str) -> str:
        """Let what was written be the stored file `name`, unless that is there already; returns `name`."""
        self.flush()
        return place(name, self.path)
