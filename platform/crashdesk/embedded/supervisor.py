"""Start processes in the order of their needs, keep them running, and leave none behind."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

from crashdesk.embedded import children
from crashdesk.embedded.ports import command_line

LOG_LIMIT_BYTES = 10 * 1024 * 1024
POLL_S = 0.05
READY_POLL_MAX_S = 0.5  # between two questions whether a slow process is ready
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STABLE_S = 60.0  # a process that ran this long starts again without delay
FIRST_START_TRIES = 4
PROGRESS_EVERY_S = 5.0


class SupervisorError(RuntimeError):
    """The processes cannot be started here; the message says why."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process: how to start it, when it counts as ready, how to stop it.

    `ready` is asked again and again after the start; without it `ready_text` is looked for in the log, and
    without that the process is ready at once. A `once` process is ready when it has ended with status 0; it is
    left out when `skip` says so. `before` runs ahead of every start, `after` when the process has been stopped
    for good. `progress` says how far a long start is.
    """

    name: str
    argv: Sequence[str] | Callable[[], Sequence[str]]
    env: Mapping[str, str] | None = None
    ready: Callable[[], bool] | None = None
    ready_text: str = ""
    restart: bool = True
    once: bool = False
    needs: Sequence[str] = ()
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGTERM
    stop_timeout_s: float = 10.0
    ready_timeout_s: float = 120.0
    cwd: Path | None = None
    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None
    skip: Callable[[], bool] | None = None
    progress: Callable[[], str] | None = None
    account: Callable[[], children.Account | None] | None = None
    pass_fds: Callable[[], Sequence[int]] | None = None
    to_terminal: bool = False


class State(Enum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    ENDED = "ended"


@dataclass
class _Running:
    spec: ProcessSpec
    state: State = State.WAITING
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    not_before: float = 0.0
    crashes: int = 0
    was_ready: bool = False
    ready_after_s: float | None = None
    log_offset: int = 0
    next_progress: float = 0.0
    next_check: float = 0.0
    kill_at: float | None = None


@dataclass
class _Signals:
    stop: bool = False
    count: int = 0


class Supervisor:
    """Runs a table of processes for one home. Use it from the main thread."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        home: Path,
        *,
        ports: Mapping[str, int] | None = None,
        urls: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
        stop_timeout_s: float = 30.0,
    ) -> None:
        """`stop_timeout_s` caps the whole warm stop. Raises SupervisorError on an unknown or circular need."""
        self.home = home
        self.ports = dict(ports or {})
        self.urls = dict(urls or {})
        self.stop_timeout_s = stop_timeout_s
        self._say = say or _print_line
        self._processes = {spec.name: _Running(spec) for spec in specs}
        self._signals = _Signals()
        self._began = time.monotonic()
        self._guardian: children.Guardian | None = None
        self._failure = ""
        self._follow_up_status = 0
        _check_needs(specs)

    def run(
        self,
        *,
        then: Sequence[str] = (),
        then_env: Mapping[str, str] | None = None,
        on_ready: Callable[[], None] | None = None,
    ) -> int:
        """Start everything, run `then` once, serve until a signal, stop everything. Returns an exit status.

        The status is 0 after a requested stop, 1 when a process could not be started, and the status of `then`
        when that failed. Raises SupervisorError when another supervisor holds this home.
        """
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        with _only_one(self.home), self._catching_signals():
            self._began = time.monotonic()
            self._guardian = children.Guardian()
            try:
                status = self._serve(then, then_env, on_ready)
            finally:
                self._stop_all()
                self._guardian.close()
                (self.home / "run.json").unlink(missing_ok=True)
        if self._failure:
            self._say(self._failure)
        return status

    # --- the main loop -------------------------------------------------------------------------------

    def _serve(
        self,
        then: Sequence[str],
        then_env: Mapping[str, str] | None,
        on_ready: Callable[[], None] | None,
    ) -> int:
        announced = False
        follow_up: _Running | None = None
        while not self._signals.stop:
            self._step()
            if self._failure:
                return 1
            if not announced and self._all_ready():
                announced = True
                self._write_run_file()
                self._say(f"everything is ready after {time.monotonic() - self._began:.1f} s")
                for name, url in self.urls.items():
                    self._say(f"{name}: {url}")
                if on_ready is not None:
                    on_ready()
                if then:
                    spec = ProcessSpec("then", list(then), env=then_env, once=True, to_terminal=True)
                    follow_up = _Running(spec)
                    self._processes["then"] = follow_up
            if follow_up is not None and follow_up.process is None and follow_up.state is State.ENDED:
                return self._follow_up_status
            time.sleep(POLL_S)
        return 0

    def _step(self) -> None:
        for running in list(self._processes.values()):
            if self._signals.stop or self._failure:
                return
            if running.process is not None and running.process.poll() is not None:
                self._ended(running)
            elif running.state is State.WAITING and self._may_start(running):
                self._start(running)
            elif running.state is State.STARTING:
                self._check_ready(running)

    def _all_ready(self) -> bool:
        return all(running.was_ready for running in self._processes.values())

    def _may_start(self, running: _Running) -> bool:
        if time.monotonic() < running.not_before:
            return False
        return all(self._processes[need].state is State.READY for need in running.spec.needs)

    def _start(self, running: _Running) -> None:
        spec = running.spec
        try:
            if spec.skip is not None and spec.skip():
                running.state, running.was_ready, running.ready_after_s = State.READY, True, 0.0
                return
            if spec.before is not None:
                spec.before()
            argv = spec.argv() if callable(spec.argv) else spec.argv
            running.process = self._spawn(running, argv)
        except Exception as error:  # a launcher's advice, or the program is missing: either ends the start
            self._failure = f"{spec.name} cannot be started: {error}"
            return
        running.state = State.STARTING
        running.started = running.next_check = time.monotonic()
        running.next_progress = running.started + PROGRESS_EVERY_S
        if self._guardian is not None:
            self._guardian.watch(running.process.pid)

    def _spawn(self, running: _Running, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        spec = running.spec
        output: IO[bytes] | None = None
        if not spec.to_terminal:
            output = _open_log(self._log(spec.name))
            running.log_offset = output.tell()
        try:
            return children.spawn(
                argv,
                env=spec.env,
                cwd=spec.cwd,
                output=output,
                death_signal=spec.death_signal,
                account=spec.account() if spec.account is not None else None,
                pass_fds=spec.pass_fds() if spec.pass_fds is not None else (),
            )
        finally:
            if output is not None:
                output.close()

    def _check_ready(self, running: _Running) -> None:
        spec = running.spec
        now = time.monotonic()
        if now < running.next_check:
            return
        # ask often at first, then every half second: each answer of a broken server is a page of log
        running.next_check = now + min(READY_POLL_MAX_S, (now - running.started) / 10)
        if not spec.once and self._is_ready(running):
            running.state = State.READY
            took = now - running.started
            self._say(
                f"{spec.name}: ready ({took:.1f} s)" if not running.was_ready else f"{spec.name}: ready again"
            )
            if running.ready_after_s is None:
                running.ready_after_s = now - self._began
            again = running.was_ready
            running.was_ready = True
            if again and (self.home / "run.json").exists():
                self._write_run_file()
        elif now > running.started + spec.ready_timeout_s and not spec.to_terminal:
            self._failure = (
                f"{spec.name} is not ready after {spec.ready_timeout_s:.0f} s{self._log_end(spec.name)}"
            )
        elif now > running.next_progress and not spec.to_terminal:
            running.next_progress = now + PROGRESS_EVERY_S
            note = spec.progress() if spec.progress is not None else f"see {self._log(spec.name)}"
            self._say(f"{spec.name}: starting for {now - running.started:.0f} s{note and ', ' + note}")

    def _is_ready(self, running: _Running) -> bool:
        if running.spec.ready is not None:
            return running.spec.ready()
        if running.spec.ready_text:
            with self._log(running.spec.name).open("rb") as log:
                log.seek(running.log_offset)
                return running.spec.ready_text.encode() in log.read()
        return True

    def _ended(self, running: _Running) -> None:
        """A process ended without being asked to."""
        spec, process = running.spec, running.process
        if process is None:
            return
        status = process.returncode
        self._clear_group(process.pid)
        running.process = None
        if spec.once and spec.to_terminal:
            running.state, self._follow_up_status = State.ENDED, status
            if status == 0:
                del self._processes[spec.name]
                running.state = State.READY
            else:
                self._say(f"the command ended with {_status_words(status)}; stopping everything")
            return
        if spec.once and status == 0:
            running.state, running.was_ready = State.READY, True
            running.ready_after_s = time.monotonic() - self._began
            self._say(f"{spec.name}: done ({time.monotonic() - running.started:.1f} s)")
            return
        running.crashes = 1 if time.monotonic() - running.started > STABLE_S else running.crashes + 1
        never = not running.was_ready and running.crashes >= FIRST_START_TRIES
        if spec.once or not spec.restart or never:
            self._failure = f"{spec.name} ended with {_status_words(status)}{self._log_end(spec.name)}"
            return
        delay = BACKOFF_S[min(running.crashes, len(BACKOFF_S)) - 1]
        running.state, running.not_before = State.WAITING, time.monotonic() + delay
        self._say(f"{spec.name}: ended with {_status_words(status)}; starts again in {delay:g} s")

    # --- stopping ------------------------------------------------------------------------------------

    def _stop_all(self) -> None:
        """Warm stop: dependents first, each with its own time, all within `stop_timeout_s`."""
        left = {name: r for name, r in self._processes.items() if r.process is not None}
        if left:
            self._say("stopping (press Ctrl-C again to stop at once)")
        count = self._signals.count
        deadline = time.monotonic() + self.stop_timeout_s
        while left:
            at_once = self._signals.count > count or time.monotonic() > deadline
            for name, running in list(left.items()):
                needed = any(name in self._all_needs(other) for other in left)
                if self._stop_one(running, needed=needed, at_once=at_once):
                    del left[name]
            time.sleep(POLL_S)
        for running in self._processes.values():
            if running.spec.after is not None:
                running.spec.after()
        self._say("all stopped")

    def _all_needs(self, name: str) -> set[str]:
        """What a process needs, directly or through another."""
        direct = set(self._processes[name].spec.needs)
        return direct.union(*(self._all_needs(need) for need in direct))

    def _stop_one(self, running: _Running, *, needed: bool, at_once: bool) -> bool:
        """Take the next step in stopping one process; True when it is gone."""
        process = running.process
        if process is None:
            return True
        now = time.monotonic()
        if process.poll() is not None:
            self._clear_group(process.pid)
            running.process = None
            return True
        if at_once or (running.kill_at is not None and now > running.kill_at):
            self._say(f"{running.spec.name}: killed, it did not stop in time")
            children.kill_group(process.pid)
            process.wait()
        elif running.kill_at is None and not needed:
            running.kill_at = now + running.spec.stop_timeout_s
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(running.spec.stop_signal)
        return False

    def _clear_group(self, pid: int) -> None:
        """Nothing that the ended process started may stay."""
        children.kill_group(pid)
        if self._guardian is not None:
            self._guardian.forget(pid)

    # --- files and signals ---------------------------------------------------------------------------

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _log_end(self, name: str) -> str:
        path = self._log(name)
        try:
            lines = path.read_text(errors="replace").strip().splitlines()[-15:]
        except FileNotFoundError:
            return ""
        return "".join(f"\n    {line}" for line in lines) + f"\n  (more in {path})"

    def _write_run_file(self) -> None:
        facts = {
            "pid": os.getpid(),
            "ports": self.ports,
            "urls": self.urls,
            "pids": {n: r.process.pid for n, r in self._processes.items() if r.process is not None},
            "ready_after_s": {
                n: round(r.ready_after_s, 2)
                for n, r in self._processes.items()
                if r.ready_after_s is not None
            },
        }
        temporary = self.home / ".run.json.new"
        temporary.write_text(json.dumps(facts, indent=2) + "\n")
        temporary.replace(self.home / "run.json")

    @contextlib.contextmanager
    def _catching_signals(self) -> Iterator[None]:
        def caught(number: int, _frame: object) -> None:
            self._signals.stop = True
            self._signals.count += 1

        # set explicitly: a shell starts its background jobs with SIGINT ignored
        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        previous = {number: signal.signal(number, caught) for number in wanted}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def is_running(home: Path) -> bool:
    """True when a supervisor holds this home."""
    if not (home / "up.lock").exists():
        return False
    with (home / "up.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold `home/up.lock`. Raises SupervisorError when another process does."""
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip()
            who = f"pid {pid}: {command_line(int(pid))}" if pid.isdigit() else "another process"
            raise SupervisorError(
                f"CrashDesk is already running in {home} ({who}). Stop that one first, or set CRASHDESK_HOME "
                "and PORT to start a second one"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _check_needs(specs: Sequence[ProcessSpec]) -> None:
    placed: set[str] = set()
    waiting = list(specs)
    while waiting:
        possible = [spec for spec in waiting if set(spec.needs) <= placed]
        if not possible:
            names = ", ".join(f"{spec.name} needs {', '.join(spec.needs)}" for spec in waiting)
            raise SupervisorError(f"these processes can never start: {names}")
        placed |= {spec.name for spec in possible}
        waiting = [spec for spec in waiting if spec.name not in placed]


def _open_log(path: Path) -> IO[bytes]:
    """Append to a log; a log beyond the limit becomes `<name>.log.1` first."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_name(path.name + ".1"))
    file = path.open("ab")
    file.seek(0, os.SEEK_END)
    return file


def _status_words(status: int) -> str:
    if status >= 0:
        return f"status {status}"
    return f"signal {signal.Signals(-status).name}"


def _print_line(line: str) -> None:
    print(f"crashdesk | {line}", flush=True)
