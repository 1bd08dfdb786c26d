"""Content-addressed files in the default storage (a local folder or an S3-compatible bucket)."""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import default_storage

CHUNK = 1 << 20


def sha256_of(stream: BinaryIO) -> tuple[str, int]:
    """Hexadecimal SHA-256 and size in bytes of a stream, read in 1 MiB pieces."""
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(CHUNK):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def content_name(kind: str, sha256: str, suffix: str) -> str:
    """Where a file of that content lies, e.g. videos/ab/abcd….mp4."""
    return f"{kind}/{sha256[:2]}/{sha256}{suffix}"


def put(name: str, path: Path) -> str:
    """Store a local file under `name` unless it is there already; returns `name`."""
    if not default_storage.exists(name):
        with path.open("rb") as stream:
            _save(name, stream)
    return name


def _save(name: str, stream: BinaryIO) -> str:
    """Store a stream so that `name` is either there in full or not at all, whenever the process is killed."""
    if not is_local():
        return default_storage.save(name, File(stream))  # an upload shows up when it is complete
    target = Path(default_storage.path(name))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".part-", delete=False) as part:
        try:
            shutil.copyfileobj(stream, part, CHUNK)
            part.flush()
            os.fsync(part.fileno())
            os.chmod(part.name, 0o644)
            os.replace(part.name, target)
        except BaseException:
            os.unlink(part.name)
            raise
    return name


def put_bytes(name: str, content: bytes) -> str:
    """Store bytes under `name`, replacing what is there; returns `name`."""
    return _save(name, io.BytesIO(content))


class ContentChanged(Exception):
    """A file's bytes changed between two readings."""


def put_content(kind: str, path: Path, suffix: str) -> tuple[str, str, int]:
    """Store a local file by its content: (stored name, SHA-256, size in bytes). Known content is read only once.

    Raises ContentChanged when the file is written to meanwhile.
    """
    with path.open("rb") as stream:
        sha256, size = sha256_of(stream)
        name = content_name(kind, sha256, suffix)
        if not default_storage.exists(name):
            stream.seek(0)
            same = cast(BinaryIO, _Same(stream, sha256, path.name))
            if is_local():
                _save(name, same)
            else:
                with tempfile.TemporaryFile() as copy:
                    shutil.copyfileobj(same, copy, CHUNK)
                    copy.seek(0)
                    _save(name, copy)
    return name, sha256, size


class _Same:
    """A stream whose end is only reached when its bytes have the expected digest."""

    def __init__(self, stream: BinaryIO, sha256: str, title: str) -> None:
        self._stream, self._sha256, self._title = stream, sha256, title
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._digest.update(piece)
        if not piece and self._digest.hexdigest() != self._sha256:
            raise ContentChanged(f"{self._title} was changed while it was being read")
        return piece


def is_local() -> bool:
    return isinstance(settings.STORAGE_LOCATION, str)


@contextmanager
def local_path(name: str) -> Iterator[Path]:
    """The stored file as a path on this machine: itself in a local folder, a temporary copy from a bucket."""
    if is_local():
        yield Path(default_storage.path(name))
        return
    with tempfile.NamedTemporaryFile(suffix=os.path.splitext(name)[1]) as copy:
        with default_storage.open(name, "rb") as stream:
            while piece := stream.read(CHUNK):
                copy.write(piece)
        copy.flush()
        yield Path(copy.name)
