"""kill -9 of the GPU worker in the middle of a run: every case is predicted exactly once, none is stuck."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from tests.e2e.stack import Stack
from tests.e2e.test_loop import KINDS, Loop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def hold_in_the_middle(stack: Stack, progress: Callable[[], dict[str, int]]) -> int | None:
    """Process id of the GPU worker, stopped while it holds a case; None when the run ends before that."""
    while (counts := progress())["queued"] + counts["running"]:
        pid = stack.pid_of("worker-gpu")
        try:
            os.kill(pid, signal.SIGSTOP)
            if progress()["running"]:
                return pid
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:  # it is just being started again
            pass
        time.sleep(0.05)
    return None


def test_a_killed_gpu_worker_loses_and_repeats_nothing(stack: Stack) -> None:
    loop = Loop(stack)
    folder = stack.home / "incoming" / "killed"
    stack.manage("demo_corpus", str(folder), "--clips", "12", "--seed", "23")
    loop.import_folder("killed", "demo", folder)
    started = loop.client.post("prediction-runs", loop.room("killed"))
    group = f"prediction_run:{started['id']}"

    def progress() -> dict[str, int]:
        counts: dict[str, int] = loop.client.get(f"prediction-runs/{started['id']}")["progress"]
        return counts

    loop.client.wait_until("some cases are done", lambda: progress()["done"] >= 2, timeout_s=300)
    killed = 0
    while killed < 2 and (held := hold_in_the_middle(stack, progress)):
        done = progress()["done"]
        os.kill(held, signal.SIGKILL)
        killed += 1
        loop.client.wait_until(
            "the run goes on", partial(lambda done: progress()["done"] > done, done), timeout_s=300
        )
    assert killed >= 1
    loop.client.wait_until(
        "the run ends", lambda: progress()["queued"] + progress()["running"] == 0, timeout_s=300
    )
    assert progress()["done"] == progress()["total"]
    assert max(job["attempts"] for job in loop.client.all("jobs", group=group)) >= 2
    for case in loop.cases("killed"):
        if case["status"] == "excluded":
            continue
        assert case["status"] == "predicted"
        counted = Counter(answer["kind"] for answer in loop.case(case["id"])["answers"])
        assert counted == dict.fromkeys(KINDS, 1)
