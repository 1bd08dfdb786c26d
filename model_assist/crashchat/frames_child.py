"""Reading in a child process that can be killed: decoders hang and crash on hostile files.

The frames come back through memory that both processes share: an anonymous file of the parent's, which the child
opens through /proc and fills.  Nothing is left behind, whichever of the two is killed when: a child whose parent
is gone ends itself within seconds, in the middle of a read too.
"""

import atexit
import mmap
import multiprocessing
import os
import threading
import time
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from pebble import ProcessExpired, ProcessPool

from model_assist.crashchat.errors import FrameTimeoutError, ReaderCrashedError
from model_assist.crashchat.frames_fit import DecodeMode, Pixels
from model_assist.crashchat.frames_pyav import default_threads
from model_assist.crashchat.frames_read import Frames, ReaderName, read_frames

NOTHING: Final = np.empty((0, 0, 0, 3), np.uint8)
"""Stands for pixels that lie in the shared memory."""

LOOK_EVERY_S: Final = 1.0
"""How often a child looks whether its parent still lives."""


class FrameReader:
    """`read_frames` in persistent child processes that can be killed.  A context manager, safe for threads.

    timeout_s limits each clip; after a timeout or a crash the next clip gets a fresh child.  workers: clips read at
    the same time, each by a child of its own; more than one pays when clips are asked for ahead (`begin`).
    threads: of each child, by default as many as there are processors for it, up to 4.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 120.0,
        reader: ReaderName = "auto",
        workers: int = 1,
        threads: int | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.timeout_s = timeout_s
        self.reader = reader
        self.workers = workers
        self.threads = threads or default_threads(workers)
        self._changing = threading.RLock()
        self._closed = False
        self._pool = self._start()
        atexit.register(self.close)  # the interpreter would wait for ever for a child that waits for work

    def begin(
        self,
        path: str | Path,
        *,
        fps: float = 10,
        max_frames: int = 96,
        max_tokens: int | None = None,
        decode: DecodeMode = "exact",
    ) -> "PendingFrames":
        """Start reading a clip and return at once; clips begun are taken up in the order of the calls.

        timeout_s counts from when a child takes the clip up, not from this call.
        """
        work: dict[str, Any] = {"reader": self.reader, "threads": self.threads, "decode": decode}
        work |= {"fps": fps, "max_frames": max_frames, "max_tokens": max_tokens}
        memory = _Memory(str(path))
        arguments = (str(path), memory.address)
        with self._changing:
            pool = self._pool
            try:
                future = pool.schedule(read_shared, args=arguments, kwargs=work, timeout=self.timeout_s)
            except (BrokenProcessPool, RuntimeError) as error:
                memory.close()
                self.renew(pool)
                raise ReaderCrashedError(f"{path}: the reading process cannot start ({error})") from error
        return PendingFrames(self, str(path), future, memory, pool)

    def read(
        self,
        path: str | Path,
        *,
        fps: float = 10,
        max_frames: int = 96,
        max_tokens: int | None = None,
        decode: DecodeMode = "exact",
    ) -> Frames:
        """Like `read_frames`; also raises FrameTimeoutError and ReaderCrashedError."""
        pending = self.begin(path, fps=fps, max_frames=max_frames, max_tokens=max_tokens, decode=decode)
        return pending.result()

    def renew(self, broken: ProcessPool) -> None:
        """Replace the pool that failed; what its children read is given up.

        Every clip that was with it comes here, from any thread: only the first of them changes something.
        """
        with self._changing:
            if self._closed or self._pool is not broken:
                return
            _stop(broken)
            self._pool = self._start()

    def close(self) -> None:
        """Stop the children; running reads are cancelled.  Nothing can be read afterwards."""
        atexit.unregister(self.close)
        with self._changing:
            self._closed = True
            _stop(self._pool)

    def _start(self) -> ProcessPool:
        context = multiprocessing.get_context("spawn")
        return ProcessPool(
            max_workers=self.workers, context=context, initializer=end_with, initargs=(os.getpid(),)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PendingFrames:
    """A clip being read by a `FrameReader`."""

    def __init__(
        self, reader: FrameReader, path: str, future: Any, memory: "_Memory", pool: ProcessPool
    ) -> None:
        self._reader, self._path, self._future, self._memory = reader, path, future, memory
        self._pool = pool
        self._timeout_s = reader.timeout_s
        self._frames: Frames | None = None

    def result(self) -> Frames:
        """Wait for the frames; raises what `FrameReader.read` raises."""
        if self._frames is None:
            try:
                frames, shape = self._wait()
                self._frames = frames if shape is None else replace(frames, pixels=self._memory.view(shape))
            finally:
                self._memory.close()
        return self._frames

    def cancel(self) -> None:
        """Give the clip up; a reading under way is stopped with its child."""
        self._future.cancel()

    def _wait(self) -> tuple[Frames, tuple[int, ...] | None]:
        try:
            answer: tuple[Frames, tuple[int, ...] | None] = self._future.result()
        except FutureTimeoutError as error:
            raise FrameTimeoutError(f"{self._path}: no frames after {self._timeout_s:g} s") from error
        except ProcessExpired as error:
            raise ReaderCrashedError(f"{self._path}: the reading process died ({error})") from error
        except CancelledError as error:
            raise ReaderCrashedError(f"{self._path}: given up before it was read") from error
        except BrokenProcessPool as error:
            self._reader.renew(self._pool)
            raise ReaderCrashedError(f"{self._path}: the reading process cannot start ({error})") from error
        return answer


def end_with(parent: int) -> None:
    """In the child: end this process when `parent` is no longer its parent, whatever it is doing then.

    A parent that is killed cannot stop its children, and one that hangs in a decoder would stay for ever.  The thread
    gets its turn there too: PyAV and decord let go of the interpreter's lock while they decode.
    """
    threading.Thread(target=_watch, args=(parent,), name="parent-watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY_S)
    os._exit(1)  # nothing to tidy up: the memory is the parent's, and went with it


def _stop(pool: Any) -> None:  # partly untyped upstream
    pool.stop()
    pool.join()


def read_shared(path: str, address: str | None, **options: Any) -> tuple[Frames, tuple[int, ...] | None]:
    """In the child: read a clip into the memory at `address`; the frames without pixels, and the pixels' shape.

    Without shared memory (not on Linux, or /proc is closed to us) the frames come back whole, and no shape.
    """
    file = _open(address)
    if file is None:
        return read_frames(path, **options), None
    try:
        frames = read_frames(path, allocate=lambda shape: _map(file, shape), **options)
    finally:
        os.close(file)
    return replace(frames, pixels=NOTHING), frames.pixels.shape


class _Memory:
    """Anonymous memory of this process, found by its children under `address`."""

    def __init__(self, name: str) -> None:
        self._file: int | None = None
        self.address: str | None = None
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
            self._file = os.memfd_create(Path(name).name.encode("ascii", "replace").decode()[:80])
            self.address = f"/proc/{os.getpid()}/fd/{self._file}"

    def view(self, shape: tuple[int, ...]) -> Pixels:
        """What the child wrote; the memory lives as long as the array."""
        assert self._file is not None  # a child can only have filled what there is
        return _map(self._file, shape)

    def close(self) -> None:
        """Let go of the file; arrays that view it keep the memory."""
        if self._file is not None:
            os.close(self._file)
            self._file = self.address = None

    def __del__(self) -> None:
        self.close()


def _open(address: str | None) -> int | None:
    if address is None:
        return None
    try:
        return os.open(address, os.O_RDWR)
    except OSError:
        return None  # another user's /proc: pickling works everywhere


def _map(file: int, shape: tuple[int, ...]) -> Pixels:
    size = int(np.prod(shape))
    if os.fstat(file).st_size < size:
        os.ftruncate(file, size)
    return np.frombuffer(mmap.mmap(file, size), np.uint8).reshape(shape)
