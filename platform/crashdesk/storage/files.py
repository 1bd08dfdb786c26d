"""Content-addressed files in the default storage (a local folder or an S3-compatible bucket)."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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
            default_storage.save(name, File(stream))
    return name


def put_bytes(name: str, content: bytes) -> str:
    """Store bytes under `name`, replacing what is there; returns `name`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        path.write_bytes(content)
        with path.open("rb") as stream:
            return default_storage.save(name, File(stream))


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
