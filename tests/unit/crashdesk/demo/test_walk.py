"""The walk remembers what it has done."""

from pathlib import Path
from unittest import mock

import pytest

from crashdesk.demo.console import Console
from crashdesk.demo.walk import Walk

STAGES = (
    "draw", "import_clips", "plan", "model", "predict", "select", "push", "review", "second_pass", "settle", "approve",
    "gold", "freeze", "train", "promote", "predict_again",
)  # fmt: skip


def walk(home: Path, done: list[str], fail_at: str = "") -> Walk:
    made = Walk(home=home, client=mock.Mock(), client_of=mock.Mock(), reviewer=mock.Mock(), clips=1)
    for name in STAGES:

        def stage(name: str = name) -> str:
            if name == fail_at:
                raise RuntimeError(f"{name} broke")
            done.append(name)
            return "done"

        stage.__name__ = name
        setattr(made, name, stage)
    return made


def test_an_interrupted_walk_goes_on_where_it_stopped(tmp_path: Path) -> None:
    done: list[str] = []
    with pytest.raises(RuntimeError, match="review broke"):
        walk(tmp_path, done, fail_at="review").run()
    assert done[-1] == "push"
    walk(tmp_path, done).run()
    assert tuple(done) == STAGES
    walk(tmp_path, done).run()
    assert len(done) == len(STAGES)


def test_progress_off_a_terminal_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.stage("Counting")
    for _ in range(3):
        console.progress(2, 2, "counted")
    console.done("two")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["== Counting", "   2/2 counted"]
    assert lines[2].startswith("   two (")
    assert len(lines) == 3
