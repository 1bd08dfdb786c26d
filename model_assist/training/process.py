"""The fine-tuning process: how it is started, watched and stopped. No database and no torch here.

Whoever starts fine-tuning starts a launcher, which starts the process (or processes) that train. The launcher
leads a process group; a run is over when that group is empty, not when the launcher has ended.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STOP_GRACE_SECONDS = 60.0
KILL_SECONDS = 10.0
"""How long killed processes may take to vanish, before that is an error."""

_POLL_SECONDS = 0.1
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class TrainingFailed(Exception):
    """The fine-tuning process ended with an error; the message holds the end of its log."""


def launch_command(config: Path) -> list[str]:
    """`accelerate launch` with this machine's or the user's accelerate configuration."""
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    if "ACCELERATE_CONFIG_FILE" in os.environ:
        launcher += ["--config_file", os.environ["ACCELERATE_CONFIG_FILE"]]
    else:
        launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", *_processes()]
    return [*launcher, "-m", "model_assist.training.finetune", "--config", str(config), "--stop-with-parent"]


def _processes() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = len([device for device in visible.split(",") if device.strip()])
    if count > 1:
        return [f"--num_processes={count}", "--multi_gpu"]
    return ["--num_processes=1", *([] if _has_cuda() else ["--cpu"])]


def _has_cuda() -> bool:
    return Path("/proc/driver/nvidia/version").exists()


def die_with_parent() -> bool:
    """From now on SIGTERM reaches this process when the thread that started it ends (Linux only).

    Returns False when the parent is gone already, so that no such signal will come.
    """
    if _LIBC is not None and _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return not _orphaned()


def _orphaned() -> bool:
    """Whether this process was handed to init or to another reaper, which lies outside its session."""
    parent, session = os.getppid(), os.getsid(0)
    if parent == 1:
        return True
    try:
        return session != os.getpid() and os.getsid(parent) != session
    except ProcessLookupError:
        return True


def run(config: Path, log: Path, *, on_tick: Callable[[], None], tick_seconds: float = 0.5) -> None:
    """Run fine-tuning to its end, calling `on_tick` while it runs.

    An exception from `on_tick` stops it (SIGTERM, so that it saves its place; SIGKILL after a minute) and is
    raised again. Raises TrainingFailed when it fails by itself. Either way nothing of it is left running.
    It is stopped as well when the thread that called this dies.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            launch_command(config), stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        try:
            while True:
                try:
                    code = process.wait(tick_seconds)
                    break
                except subprocess.TimeoutExpired:
                    on_tick()
        finally:
            _stop(process)
    if code != 0:
        tail = log.read_text(errors="replace")[-3000:]
        raise TrainingFailed(f"fine-tuning ended with status {code}; the end of its log:\n{tail}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Return when the launcher's whole group has ended: at once, after SIGTERM, or after SIGKILL.

    The launcher ends at the first SIGTERM, or may have ended by itself, while its children still save.
    """
    for number, seconds in ((signal.SIGTERM, STOP_GRACE_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        if _ended(process):
            return
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.killpg(process.pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if _ended(process):
                return
            time.sleep(_POLL_SECONDS)
    raise TrainingFailed(f"process group {process.pid} of the fine-tuning is still there after SIGKILL")


def _ended(process: "subprocess.Popen[bytes]") -> bool:
    if process.poll() is None:
        return False
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return _only_zombies(process.pid)


def _only_zombies(group: int) -> bool:
    """Whether all that is left of a group are ended processes that nobody waited for.

    In a container without an init process such orphans stay for ever.
    """
    if sys.platform != "linux":
        return False
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        state, _parent, its_group = text.rpartition(")")[2].split()[
            :3
        ]  # proc_pid_stat(5): pid (name) state …
        if int(its_group) == group and state not in "ZX":
            return False
    return True


class ProgressFile:
    """Reads the JSON lines that fine-tuning appends, each once, whole lines only."""

    def __init__(self, path: Path) -> None:
        self.path, self._position = path, 0

    def new(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        with self.path.open("rb") as stream:
            stream.seek(self._position)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._position += len(line)
                yield json.loads(line)
