"""Runs decoding in a child process that can be killed: decoders hang and crash on bad bytes.

    with Isolated(timeout_s=60) as media:
        clip = media.probe(path)          # never raises for a bad file
        info = media.call(make_proxy, path, out, clip.time_map)   # MediaError with a finding

One child lives across calls (starting one costs 0.3 s); it is replaced when it had to be killed or died.
Calls from several threads are served one after the other: give each worker thread its own `Isolated` for
more.
"""

import atexit
import math
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from pebble import ProcessExpired, ProcessPool

from annotations.corpora.media.findings import Code, Finding, MediaError, Severity
from annotations.corpora.media.probe import Probe, probe, survey

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_TIMEOUT_S = 120.0
DEFAULT_MEMORY_BYTES = 4 * 1024**3

_ORPHAN_GRACE_S = 10
_PARENT_CHECK_S = 1.0


class Isolated:
    """A killable child for media functions.

    `timeout_s`: wall time a call may take. `memory_bytes`: address space of the child (RLIMIT_AS).
    Functions and arguments must be picklable, functions importable without Django.
    """

    def __init__(
        self, *, timeout_s: float = DEFAULT_TIMEOUT_S, memory_bytes: int = DEFAULT_MEMORY_BYTES
    ) -> None:
        self.timeout_s = timeout_s
        self._pool = ProcessPool(
            max_workers=1, context=get_context("spawn"), initializer=_limit_child, initargs=(memory_bytes,)
        )
        atexit.register(self.close)  # the interpreter would wait for ever for a child that waits for work

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill the child and wait for it; a call in flight fails with decoder_crashed."""
        atexit.unregister(self.close)
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`function(*args, **kwargs)` in the child. What the function raises is raised here.

        MediaError decode_timeout when it takes longer than `timeout_s`, decoder_crashed when the child dies
        or runs out of memory. In both cases the next call gets a fresh child.
        """
        name = _subject(args)
        future = self._pool.schedule(
            _guarded, args=[self.timeout_s, function, args, kwargs], timeout=self.timeout_s
        )
        try:
            result: R = future.result()
        except FutureTimeout as error:
            message = f"{name} was still not read after {self.timeout_s:g} s; the reader was stopped"
            raise _failure(Code.DECODE_TIMEOUT, message, timeout_s=self.timeout_s) from error
        except ProcessExpired as error:
            message = f"the reader died on {name} (exit code {error.exitcode})"
            raise _failure(Code.DECODER_CRASHED, message, exit_code=error.exitcode) from error
        except MemoryError as error:
            message = f"reading {name} needed more memory than a clip may take"
            raise _failure(Code.DECODER_CRASHED, message) from error
        except CancelledError as error:
            raise _failure(Code.DECODER_CRASHED, f"reading {name} was stopped") from error
        return result

    def probe(self, path: Path) -> Probe:
        """`probe(path)` in the child; a hang or crash is an error finding of the returned probe."""
        return self._look(probe, path)

    def survey(self, path: Path) -> Probe:
        """`survey(path)` in the child, as `probe`."""
        return self._look(survey, path)

    def _look(self, look: Callable[[Path], Probe], path: Path) -> Probe:
        try:
            return self.call(look, path)
        except MediaError as error:
            return Probe(size_bytes=path.stat().st_size, findings=(error.finding,))


def _limit_child(memory_bytes: int) -> None:
    threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end_with_parent(parent: int) -> None:
    """A child whose parent was killed has nobody to answer."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _guarded(
    timeout_s: float, function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> R:
    """Also bounds the child by the kernel's alarm: code that lets no other thread run cannot outlive its parent for
    ever."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(math.ceil(timeout_s) + _ORPHAN_GRACE_S)
    try:
        return function(*args, **kwargs)
    finally:
        signal.alarm(0)


def _subject(args: tuple[object, ...]) -> str:
    path = next((argument for argument in args if isinstance(argument, Path)), None)
    return path.name if path else "the clip"


def _failure(code: Code, message: str, **data: float | int) -> MediaError:
    return MediaError(Finding(code, Severity.ERROR, message, dict(data)))
