"""The fine-tuning process: how it is started, watched and stopped. No database here."""

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STOP_GRACE_SECONDS = 60
_PR_SET_PDEATHSIG = 1


class TrainingFailed(Exception):
    """The fine-tuning process ended with an error; the message holds the end of its log."""


def launch_command(config: Path) -> list[str]:
    """`accelerate launch` with this machine's or the user's accelerate configuration."""
    launcher = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    if "ACCELERATE_CONFIG_FILE" in os.environ:
        launcher += ["--config_file", os.environ["ACCELERATE_CONFIG_FILE"]]
    else:
        launcher += ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no", *_processes()]
    return [*launcher, "-m", "model_assist.training.finetune", "--config", str(config)]


def _processes() -> list[str]:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    count = len([device for device in visible.split(",") if device.strip()])
    if count > 1:
        return [f"--num_processes={count}", "--multi_gpu"]
    return ["--num_processes=1", *([] if _has_cuda() else ["--cpu"])]


def _has_cuda() -> bool:
    return Path("/proc/driver/nvidia/version").exists()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def run(config: Path, log: Path, *, on_tick: Callable[[], None], tick_seconds: float = 0.5) -> None:
    """Run fine-tuning to its end, calling `on_tick` while it runs.

    An exception from `on_tick` stops the process (SIGTERM, so that it saves its place; SIGKILL after a
    minute) and is raised again. Raises TrainingFailed when the process itself fails. The process dies with
    the thread that called this.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            launch_command(config), stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
        try:
            while True:
                try:
                    code = process.wait(tick_seconds)
                    break
                except subprocess.TimeoutExpired:
                    on_tick()
        except BaseException:
            _stop(process)
            raise
    if code != 0:
        tail = log.read_text(errors="replace")[-3000:]
        raise TrainingFailed(f"fine-tuning ended with status {code}; the end of its log:\n{tail}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


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
