"""Nothing of a fine-tuning run outlives it, however its launcher or its caller ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from model_assist.training import finetune, process
from model_assist.training.process import TrainingFailed, launch_command

LAUNCHER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, *sys.argv[2:]])
{then}
"""
"""Like accelerate's: starts the process that trains, waits for it, and dies of SIGTERM alone."""

WAITS, FAILS = "sys.exit(child.wait())", "time.sleep(0.5); sys.exit(3)"

SAVES = """
import signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
def save(number, frame):
    time.sleep(float(sys.argv[2]))
    (folder / "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
(folder / "started").touch()
time.sleep(30)
(folder / "overslept").touch()
"""
"""Like the training process: takes its time to save on SIGTERM."""

WATCHES = """
import signal, sys, time
from pathlib import Path
from model_assist.training.process import die_with_parent
folder = Path(sys.argv[1])
def save(number, frame):
    (folder / "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
time.sleep(float(sys.argv[2]))
if not die_with_parent():
    (folder / "orphan").touch()
    sys.exit(143)
(folder / "started").touch()
time.sleep(30)
"""
"""Like SAVES, and asks for the signal when its launcher ends; only after a while, as torch takes long to load."""


class Cancelled(Exception):
    pass


def stand_ins(
    folder: Path, child: str, *, seconds: float = 0.0, then: str = WAITS
) -> Callable[[Path], list[str]]:
    command = [sys.executable, "-c", LAUNCHER.format(then=then), "-", "-c", child, str(folder), str(seconds)]
    return lambda config: command


def wait_for(path: Path, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)


def cancel_when(path: Path) -> Callable[[], None]:
    def tick() -> None:
        if path.exists():
            raise Cancelled

    return tick


def test_cancelling_returns_after_the_training_process_has_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "launch_command", stand_ins(tmp_path, SAVES, seconds=1.0))
    with pytest.raises(Cancelled):
        process.run(tmp_path, tmp_path / "log", on_tick=cancel_when(tmp_path / "started"), tick_seconds=0.05)
    assert (tmp_path / "saved").exists()


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STOP_GRACE_SECONDS", 0.3)
    monkeypatch.setattr(process, "launch_command", stand_ins(tmp_path, SAVES, seconds=1.0))
    with pytest.raises(Cancelled):
        process.run(tmp_path, tmp_path / "log", on_tick=cancel_when(tmp_path / "started"), tick_seconds=0.05)
    time.sleep(1.0)
    assert not (tmp_path / "saved").exists()


def test_a_launcher_that_ends_by_itself_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "launch_command", stand_ins(tmp_path, SAVES, seconds=0.5, then=FAILS))
    with pytest.raises(TrainingFailed, match="status 3"):
        process.run(tmp_path, tmp_path / "log", on_tick=lambda: None, tick_seconds=0.05)
    assert (tmp_path / "saved").exists()


def test_the_training_process_stops_when_its_launcher_is_killed(tmp_path: Path) -> None:
    launcher = subprocess.Popen(stand_ins(tmp_path, WATCHES)(tmp_path), start_new_session=True)
    try:
        wait_for(tmp_path / "started")
        launcher.kill()
        wait_for(tmp_path / "saved")
    finally:
        end_group(launcher)


def test_a_launcher_killed_before_the_training_process_asked_is_noticed(tmp_path: Path) -> None:
    launcher = subprocess.Popen(
        stand_ins(tmp_path, WATCHES, seconds=0.5, then="print(flush=True); time.sleep(30)")(tmp_path),
        start_new_session=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert launcher.stdout is not None
    try:
        launcher.stdout.readline()  # the child is there
        launcher.kill()
        wait_for(tmp_path / "orphan")
        assert not (tmp_path / "started").exists()
    finally:
        launcher.stdout.close()
        end_group(launcher)


def end_group(launcher: "subprocess.Popen[bytes]") -> None:
    launcher.kill()
    launcher.wait()
    try:
        os.killpg(launcher.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_fine_tuning_is_told_to_stop_with_its_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = launch_command(tmp_path / "config.json")
    arguments = command[command.index("model_assist.training.finetune") + 1 :]
    monkeypatch.setattr(finetune, "die_with_parent", lambda: False)
    assert finetune.main(arguments) == finetune.EXIT_STOPPED
    assert "launcher is gone" in capsys.readouterr().err
