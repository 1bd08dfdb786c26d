"""The supervisor with small Python processes: order, crashes, stubborn children, its own death."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import crashdesk
from crashdesk.embedded import supervisor as module
from crashdesk.embedded.supervisor import ProcessSpec, Supervisor, SupervisorError

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", textwrap.dedent(code)]


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in {"Z", "X"}
    except FileNotFoundError:
        return False


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def test_starts_in_order_and_stops_in_reverse(tmp_path: Path) -> None:
    lines: list[str] = []
    order = tmp_path / "order"
    child = f"""
        import signal, sys, time
        name = sys.argv[1]
        def note(word):
            with open({str(order)!r}, "a") as file: file.write(f"{{word}} {{name}}\\n")
        def stop(*_):
            note("stop"); sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        note("start"); print("up and ready", flush=True)
        time.sleep(60)
    """
    specs = [
        ProcessSpec("web", [*python(child), "web"], needs=["step"], ready_text="ready"),
        ProcessSpec("step", python("print('migrated')"), once=True, needs=["base"]),
        ProcessSpec("base", [*python(child), "base"], ready_text="ready"),
    ]
    assert Supervisor(specs, tmp_path, say=lines.append).run(on_ready=interrupt) == 0
    assert order.read_text().splitlines() == ["start base", "start web", "stop web", "stop base"]
    assert lines[-1] == "all stopped"
    assert "migrated" in (tmp_path / "logs" / "step.log").read_text()
    assert not (tmp_path / "run.json").exists()


def test_run_file_names_pids_and_urls(tmp_path: Path) -> None:
    seen: dict[str, object] = {}

    def look() -> None:
        seen.update(json.loads((tmp_path / "run.json").read_text()))
        interrupt()

    Supervisor([ProcessSpec("one", SLEEP)], tmp_path, urls={"web": "http://x"}, say=print).run(on_ready=look)
    assert seen["pid"] == os.getpid()
    assert seen["urls"] == {"web": "http://x"}
    pids = seen["pids"]
    assert isinstance(pids, dict)
    assert not alive(pids["one"])


def test_a_crashed_process_starts_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = f"""
        import os, time
        with open({str(starts)!r}, "a") as file: file.write(f"{{os.getpid()}}\\n")
        time.sleep(60)
    """

    def pids() -> list[int]:
        return [int(line) for line in starts.read_text().splitlines()] if starts.exists() else []

    killed: list[int] = []

    def second_life() -> bool:
        if len(pids()) == 2:
            interrupt()
        elif len(pids()) == 1 and not killed:
            killed.append(pids()[0])
            os.kill(killed[0], signal.SIGKILL)
        return True

    lines: list[str] = []
    watcher = ProcessSpec("watcher", SLEEP, ready=lambda: second_life() and False)
    Supervisor([ProcessSpec("one", python(code)), watcher], tmp_path, say=lines.append).run()
    assert len(pids()) == 2
    assert any("ended with signal SIGKILL; starts again" in line for line in lines)
    assert not any(alive(pid) for pid in pids())


def test_a_process_that_never_starts_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.01,))
    lines: list[str] = []
    specs = [
        ProcessSpec("good", SLEEP),
        ProcessSpec("bad", python("raise SystemExit('no such table')"), ready=lambda: False),
    ]
    assert Supervisor(specs, tmp_path, say=lines.append).run() == 1
    assert "bad ended with status 1" in lines[-1]
    assert "no such table" in lines[-1]


def test_a_failed_step_ends_everything(tmp_path: Path) -> None:
    lines: list[str] = []
    specs = [
        ProcessSpec("step", python("raise SystemExit(3)"), once=True),
        ProcessSpec("web", SLEEP, needs=["step"]),
    ]
    assert Supervisor(specs, tmp_path, say=lines.append).run() == 1
    assert "step ended with status 3" in lines[-1]


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    lines: list[str] = []
    assert Supervisor([ProcessSpec("x", ["/no/such/program"])], tmp_path, say=lines.append).run() == 1
    assert "x cannot be started" in lines[-1]
    assert "/no/such/program" in lines[-1]


def test_a_process_that_is_not_ready_in_time_is_named(tmp_path: Path) -> None:
    lines: list[str] = []
    spec = ProcessSpec("slow", SLEEP, ready=lambda: False, ready_timeout_s=0.2)
    assert Supervisor([spec], tmp_path, say=lines.append).run() == 1
    assert "slow is not ready after" in lines[-1]


def test_skipped_steps_count_as_done(tmp_path: Path) -> None:
    specs = [
        ProcessSpec("step", ["/no/such/program"], once=True, skip=lambda: True),
        ProcessSpec("web", SLEEP, needs=["step"]),
    ]
    assert Supervisor(specs, tmp_path, say=print).run(on_ready=interrupt) == 0


def test_a_process_that_ignores_the_stop_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    child_file = tmp_path / "child"
    code = f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        pid = os.fork()
        if pid:
            with open({str(child_file)!r}, "w") as file: file.write(str(pid))
            print("ready", flush=True)
        time.sleep(60)
    """
    lines: list[str] = []
    spec = ProcessSpec("stubborn", python(code), ready_text="ready", stop_timeout_s=0.3)
    began = time.monotonic()
    assert Supervisor([spec], tmp_path, say=lines.append).run(on_ready=interrupt) == 0
    assert time.monotonic() - began < 5
    assert any("stubborn: killed" in line for line in lines)
    wait_until(lambda: not alive(int(child_file.read_text())))


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    code = """
        import os, signal, time
        def again(*_): os.kill(os.getppid(), signal.SIGINT)
        signal.signal(signal.SIGTERM, again)
        print("ready", flush=True)
        while True: time.sleep(1)
    """
    spec = ProcessSpec("slow", python(code), ready_text="ready", stop_timeout_s=30)
    began = time.monotonic()
    Supervisor([spec], tmp_path, say=print).run(on_ready=interrupt)
    assert time.monotonic() - began < 5


def test_a_second_supervisor_in_one_home_is_refused(tmp_path: Path) -> None:
    messages: list[str] = []

    def second() -> None:
        with pytest.raises(SupervisorError, match="already running") as caught:
            Supervisor([ProcessSpec("two", SLEEP)], tmp_path, say=print).run()
        messages.append(str(caught.value))
        interrupt()

    Supervisor([ProcessSpec("one", SLEEP)], tmp_path, say=print).run(on_ready=second)
    assert f"pid {os.getpid()}" in messages[0]
    assert str(tmp_path) in messages[0]


@pytest.mark.parametrize("needs", [["missing"], ["a"]])
def test_needs_that_cannot_be_met_are_refused(tmp_path: Path, needs: list[str]) -> None:
    with pytest.raises(SupervisorError, match="a needs"):
        Supervisor([ProcessSpec("a", SLEEP, needs=needs)], tmp_path)


def test_a_follow_up_command_that_fails_gives_its_status(tmp_path: Path) -> None:
    lines: list[str] = []
    supervisor = Supervisor([ProcessSpec("one", SLEEP)], tmp_path, say=lines.append)
    assert supervisor.run(then=python("raise SystemExit(7)")) == 7
    assert any("ended with status 7" in line for line in lines)


def test_serving_goes_on_after_a_follow_up_command(tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys
        later = "import os, signal, sys, time; time.sleep(0.5); os.kill(int(sys.argv[1]), signal.SIGTERM)"
        subprocess.Popen([sys.executable, "-S", "-c", later, str(os.getppid())], start_new_session=True)
    """
    began = time.monotonic()
    supervisor = Supervisor([ProcessSpec("one", SLEEP)], tmp_path, say=print)
    assert supervisor.run(then=python(code)) == 0
    assert time.monotonic() - began > 0.5


def test_large_logs_are_set_aside_at_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT_BYTES", 10)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "one.log").write_text("old and long enough\n")
    Supervisor([ProcessSpec("one", SLEEP)], tmp_path, say=print).run(on_ready=interrupt)
    assert (tmp_path / "logs" / "one.log.1").read_text() == "old and long enough\n"
    assert (tmp_path / "logs" / "one.log").read_text() == ""


def test_signal_handlers_are_given_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    Supervisor([ProcessSpec("one", SLEEP)], tmp_path, say=print).run(on_ready=interrupt)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_a_killed_supervisor_leaves_nothing(tmp_path: Path) -> None:
    """The child ignores SIGTERM and has a child of its own: only the guardian can end both."""
    code = f"""
        import sys
        from pathlib import Path
        from crashdesk.embedded.supervisor import ProcessSpec, Supervisor
        child = '''
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.fork()
        with open({str(tmp_path / "pids")!r}, "a") as file: file.write(f"{{os.getpid()}}\\\\n")
        time.sleep(60)
        '''
        import textwrap
        spec = ProcessSpec("stubborn", [sys.executable, "-S", "-c", textwrap.dedent(child)])
        Supervisor([spec], Path({str(tmp_path)!r})).run()
    """
    parent = Path(crashdesk.__file__).parents[1]
    running = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=os.environ | {"PYTHONPATH": str(parent)}
    )
    pids_file = tmp_path / "pids"
    wait_until(lambda: pids_file.exists() and len(pids_file.read_text().split()) == 2)
    running.kill()
    running.wait()
    pids = [int(word) for word in pids_file.read_text().split()]
    wait_until(lambda: not any(alive(pid) for pid in pids), 12)
