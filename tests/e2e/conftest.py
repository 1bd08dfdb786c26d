"""One running stack with the tiny model that ships, for all end-to-end tests."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crashdesk.demo.model import install_model
from tests.e2e.stack import Stack


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """All services, the demo's people, and the tiny model that ships, registered."""
    home = Path(tempfile.mkdtemp(prefix="crashdesk-e2e-"))
    stack = Stack(home)
    try:
        stack.start()
        install_model(home / "model")
        stack.manage("register_model", "tiny")
        stack.manage("demo_people")
        failed_before = request.session.testsfailed
        yield stack
        if request.session.testsfailed > failed_before:
            _print_logs(home)
    except BaseException:
        _print_logs(home)
        raise
    finally:
        if stack.process is not None:
            status = stack.stop()
            print(f"the stack stopped with status {status}")
        shutil.rmtree(home, ignore_errors=True)


def _print_logs(home: Path) -> None:
    """The end of every process's log, for a report of a failed test."""
    for log in [home / "up.log", *sorted((home / "logs").glob("*.log"))]:
        if log.exists():
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
