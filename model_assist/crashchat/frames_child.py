"""Reading in a child process that can be killed: decoders hang and crash on hostile files.

The frames come back through memory that both processes share: an anonymous file of the parent's, which the child
opens through /proc and fills.  Nothing is left behind, whichever of the two is killed when.
"""

import atexit
import mmap
import multiprocessing
import os
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
        self._start()

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
        try:
            future = self._pool.schedule(read_shared, args=arguments, kwargs=work, timeout=self.timeout_s)
        except (BrokenProcessPool, RuntimeError) as error:
            memory.close()
            self.renew()
            raise ReaderCrashedError(f"{path}: the reading process cannot start ({error})") from error
        return PendingFrames(self, str(path), future, memory)

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

    def renew(self) -> None:
        """Stop the children, giving up what they read, and start afresh."""
        self.close()
        self._start()

    def close(self) -> None:
        """Stop the children; running reads are cancelled."""
        atexit.unregister(self.close)
        pool: Any = self._pool  # partly untyped upstream
        pool.stop()
        pool.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=self.workers, context=context)
        atexit.register(self.close)  # the interpreter would wait for ever for a child that waits for work

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PendingFrames:
    """A clip being read by a `FrameReader`."""

    def __init__(self, reader: FrameReader, path: str, future: Any, memory: "_Memory") -> None:
        self._reader, self._path, self._future, self._memory = reader, path, future, memory
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
            self._reader.renew()
            raise ReaderCrashedError(f"{self._path}: the reading process cannot start ({error})") from error
        return answer


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
