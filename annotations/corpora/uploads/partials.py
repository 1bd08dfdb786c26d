"""The bytes of an unfinished upload in a local store: one file, valid up to the offset that the database holds."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final
from uuid import UUID

from annotations.corpora.media_store import Stored
from annotations.corpora.uploads.content import stored_name
from crashdesk.api.errors import Problem
from crashdesk.storage.files import CHUNK
from crashdesk.storage.incoming import incoming_folder, place, sync_folder

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class BytesLost(Exception):
    """The file holds fewer bytes than were acknowledged."""


@contextmanager
def said_clearly() -> Iterator[None]:
    """Turns what a disk says into Problems: store_full (507) or store_failed (500)."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Problem("store_full", "The server's disk is full; try again later.", status=507) from error
        reason = error.strerror or str(error)
        raise Problem("store_failed", f"The server cannot store this: {reason}.", status=500) from error


class Partial:
    """The open file of an upload, cut to what was acknowledged. Call under the upload's lock.

    BytesLost when the file is shorter than `offset`.
    """

    def __init__(self, upload_id: UUID, *, offset: int) -> None:
        path = incoming_folder() / str(upload_id)
        known = path.exists()
        self._file: BinaryIO = path.open("r+b" if known else "w+b")
        try:
            if os.fstat(self._file.fileno()).st_size < offset:
                raise BytesLost(f"{path.name} lacks bytes that were there")
            self._file.truncate(offset)
            self._file.seek(offset)
            if not known:
                sync_folder(path.parent)
        except BaseException:
            self._file.close()
            raise

    def write(self, piece: bytes) -> None:
        self._file.write(piece)

    def sync(self) -> None:
        """Make what was written durable: only then may it be acknowledged."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def store_partial(upload_id: UUID, *, name: str, size: int, progress: Callable[[int], None]) -> Stored:
    """Hash the complete file and let it be the content's stored file: nothing is copied. The partial file stays.

    `progress` is told the bytes hashed; it may raise to stop. BytesLost when the file is not `size` bytes long.
    """
    path = incoming_folder() / str(upload_id)
    if size == 0:
        path.touch()
    digest, done = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while piece := stream.read(CHUNK):
                digest.update(piece)
                done += len(piece)
                progress(done)
    except FileNotFoundError as error:
        raise BytesLost(f"{path.name} is gone") from error
    if done != size:
        raise BytesLost(f"{path.name} holds {done} bytes instead of {size}")
    sha256 = digest.hexdigest()
    return Stored(place(stored_name(sha256, name), path), sha256, size)


def discard_partial(upload_id: UUID) -> None:
    """Remove the file, where there is one."""
    (incoming_folder() / str(upload_id)).unlink(missing_ok=True)
