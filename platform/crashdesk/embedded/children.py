"""Starting child processes that cannot outlive their parent, and stopping them."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The user and group a child runs as, by number."""

    uid: int
    gid: int


def _own_session(death_signal: int, parent: int) -> Callable[[], None]:
    """What the child does between fork and exec."""

    def setup() -> None:
        os.setsid()  # a Ctrl-C typed in the terminal reaches only the supervisor
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # the parent died before the request was in place
                os.kill(os.getpid(), signal.SIGKILL)

    return setup


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
    death_signal: int = signal.SIGTERM,
    account: Account | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a child in its own session; the kernel sends it `death_signal` when this process is gone.

    On Linux that signal fires when the *thread* that called this ends, so call it from a thread that lives as
    long as the child shall, normally the main one. `output` receives stdout and stderr (default: inherited).
    Raises OSError when the program cannot be started.
    """
    return subprocess.Popen(
        list(argv),
        env=None if env is None else dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        preexec_fn=_own_session(death_signal, os.getpid()),
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
        pass_fds=tuple(pass_fds),
    )


def kill_group(pid: int, number: int = signal.SIGKILL) -> bool:
    """Signal the process group led by `pid`; False when nothing of it is left."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):  # EPERM: only zombies of another user remain
        return False
    return True


class Guardian:
    """A small process that ends the supervisor's process groups should the supervisor itself be killed.

    The parent-death signal reaches each child, but not grandchildren, and a child may ignore it. The guardian
    notices the supervisor's end by its standard input closing.
    """

    def __init__(self) -> None:
        script = Path(__file__).with_name("guardian.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )

    def watch(self, pid: int) -> None:
        """End this process group if the supervisor dies."""
        self._tell(f"+{pid}\n")

    def forget(self, pid: int) -> None:
        """The group is gone; its number may be given to strangers."""
        self._tell(f"-{pid}\n")

    def close(self) -> None:
        """Everything was stopped in order; the guardian leaves."""
        self._tell("done\n")
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _tell(self, line: str) -> None:
        if self._process.stdin is None or self._process.poll() is not None:
            return  # killed by someone: the parent-death signals still hold
        try:
            self._process.stdin.write(line.encode())
        except BrokenPipeError:
            return
