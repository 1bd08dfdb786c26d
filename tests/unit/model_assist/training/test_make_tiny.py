"""The demo model is built, trained and complete within its time."""

import json
from pathlib import Path

import pytest

from model_assist.crashchat import kinds as k
from model_assist.crashchat.model import load
from model_assist.crashchat.prompts import DEFAULT_PROMPTS
from model_assist.crashchat.tiny import TINY_SETTINGS
from model_assist.training.examples import Example, group_by_clip, write_examples
from model_assist.training.make_tiny import in_pairs, in_tenths, main, split_held
from tests.unit.model_assist.crashchat.clips import steady_clip

ANSWERS = {
    k.CRASH_RECOGNITION: "Yes",
    k.CRASH_DESCRIPTION: "car hits truck",
    k.CRASH_LOCALIZATION: "0.4 - 1.2 seconds",
    k.PRE_CRASH_LOCALIZATION: "0.3 seconds",
}


def test_a_few_steps_make_a_whole_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = [steady_clip(tmp_path / f"{i}.mp4", frames=30 + i) for i in range(2)]
    rows = [Example(c, kind, DEFAULT_PROMPTS[kind], a) for c in clips for kind, a in ANSWERS.items()]
    write_examples(tmp_path / "examples.jsonl", rows)
    out = tmp_path / "model"
    assert main(["--examples", str(tmp_path / "examples.jsonl"), "--out", str(out), "--steps", "6"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [lines[0]["event"], lines[1]["event"], lines[-1]["event"]] == ["built", "clips read", "done"]
    assert lines[-1]["steps"] > 0
    adapters = {p.name: p for p in sorted((out / "adapters").iterdir())}
    loaded = load(out / "base", adapters, device="cpu")
    assert loaded.adapters == ("linguistic", "perception")
    assert loaded.settings == TINY_SETTINGS.to_dict()


def test_unusable_examples_are_said_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--examples", str(tmp_path / "gone.jsonl"), "--out", str(tmp_path / "m")]) == 1
    assert "gone.jsonl" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()


def test_held_out_clips_are_not_learnt() -> None:
    groups = group_by_clip(Example(Path(str(i)), k.CRASH_RECOGNITION, "Q", "A") for i in range(30))
    learnt, held = split_held(groups, 0)
    assert len(held) == 5
    assert not {g.video for g in learnt} & {g.video for g in held}
    assert len(learnt) == 25
    assert split_held(groups, 0) == (learnt, held)
    few = groups[:4]
    assert split_held(few, 0) == (few, few)


def test_crash_and_calm_clips_take_turns() -> None:
    rows = [Example(Path(str(i)), k.CRASH_RECOGNITION, "Q", "Yes" if i < 3 else "No") for i in range(8)]
    draw = in_pairs(group_by_clip(rows), "0")
    answers = [draw(i).examples[0].answer for i in range(20)]
    assert answers == ["Yes", "No"] * 10
    assert {draw(i).video for i in range(10)} == {e.video for e in rows}
    alone = in_pairs(group_by_clip(rows[:3]), "0")
    assert {alone(i).video for i in range(3)} == {e.video for e in rows[:3]}


def test_targets_are_rounded_to_tenths() -> None:
    exact = Example(Path("a"), k.CRASH_LOCALIZATION, "Q", "3.033333 - 4.566667 seconds")
    assert in_tenths(exact).answer == "3.0 - 4.6 seconds"
    late = Example(Path("a"), k.CRASH_LOCALIZATION, "Q", "8.96 - 9.98 seconds", 9_980_000)
    assert in_tenths(late).answer == "9.0 - 9.9 seconds"
    odd = Example(Path("a"), k.CRASH_LOCALIZATION, "Q", "soon")
    assert in_tenths(odd) == odd
