"""`python -m model_assist.crashchat`: several clips, bad ones among them, and no Django."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model_assist.crashchat import kinds as k
from model_assist.crashchat.cli import find_clips, main
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.prompts import prompt_version
from model_assist.crashchat.settings import find_adapters

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRASHDESK_MODEL", raising=False)
    monkeypatch.delenv("CRASHDESK_ADAPTERS", raising=False)


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    """Two good clips with a bad one between them, and a file that is no clip."""
    place = tmp_path / "clips"
    (place / "later").mkdir(parents=True)
    for name in ("a.mp4", "later/c.MP4"):
        (place / name).write_bytes(clip.read_bytes())
    (place / "b.mp4").write_bytes(b"not a video")
    (place / "notes.txt").touch()
    return place


def run(*arguments: object) -> int:
    return main([str(a) for a in arguments])


def test_a_table_of_six_answers(
    base_dir: Path, adapters: dict[str, Path], clip: Path, capsys: Capture
) -> None:
    assert run(clip, "--model", base_dir, "--adapters", adapters["linguistic"].parent) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["kind", "state", "conf", "adapter", "answer"]
    assert [line.split()[0] for line in lines[1:] if line.split()[0] in k.ALL] == list(k.ALL)
    assert "attention sdpa (flash-attn needs CUDA, not cpu)" in err
    assert "1 of 1 clips, 0 failed" in err


def test_one_object_says_what_answered_and_how(
    base_dir: Path, adapters: dict[str, Path], clip: Path, tmp_path: Path, capsys: Capture
) -> None:
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({k.CRASH_RECOGNITION: "<video>\nCrash?"}))
    given = [clip, "--model", base_dir, "--adapters", adapters["linguistic"].parent, "--format", "json"]
    given += ["--prompts", prompts, "--max-tokens", 64, "--decode", "fast", "--clips-per-batch", 1, "--quiet"]
    given += ["--kinds", "causal_reasoning,crash_recognition", "--route", "causal_reasoning=perception"]
    assert run(*given) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert list(said["answers"]) == [k.CRASH_RECOGNITION, k.CAUSAL_REASONING]
    assert said["answers"][k.CRASH_RECOGNITION]["prompt_version"] == prompt_version("Crash?")
    assert said["answers"][k.CRASH_RECOGNITION]["adapter"] == "linguistic"
    assert said["answers"][k.CAUSAL_REASONING]["adapter"] == "perception"
    assert all(type(answer["off_format"]) is bool for answer in said["answers"].values())
    assert (said["settings"]["max_tokens"], said["settings"]["decode"]) == (64, "fast")
    assert said["model"]["adapters"] == ["linguistic", "perception"]
    assert set(said["model"]["why"]) == {"device", "dtype", "attention"}
    assert "clips, 0 failed" not in err


def test_one_bad_clip_never_sinks_the_rest(
    base_dir: Path, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRASHDESK_MODEL", str(base_dir))
    assert run(folder, folder / "gone.mp4", "--format", "jsonl", "--kinds", k.CRASH_RECOGNITION) == 1
    out, err = capsys.readouterr()
    said = {Path(line["clip"]).name: line for line in map(json.loads, out.splitlines())}
    assert set(said) == {"a.mp4", "b.mp4", "c.MP4", "gone.mp4"}
    assert [name for name, line in said.items() if "error" in line] == ["b.mp4", "gone.mp4"]
    assert said["b.mp4"]["error"]["type"] == "UndecodableError"
    assert "b.mp4" in said["b.mp4"]["error"]["message"]
    assert said["a.mp4"]["answers"] == said["c.MP4"]["answers"]
    assert said["gone.mp4"]["model"] == said["a.mp4"]["model"]
    assert "4 of 4 clips, 2 failed" in err


def test_several_clips_as_one_list_and_as_tables(base_dir: Path, folder: Path, capsys: Capture) -> None:
    given = ["--model", base_dir, "--kinds", k.CRASH_RECOGNITION, "--quiet"]
    assert run(folder / "a.mp4", folder / "later", *given, "--format", "json") == 0
    assert [Path(r["clip"]).name for r in json.loads(capsys.readouterr().out)] == ["a.mp4", "c.MP4"]
    assert run(folder / "a.mp4", folder / "later", *given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in lines if line.startswith("/")] == ["a.mp4", "c.MP4"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--model", "{tmp}/gone"], "no such model folder"),
        (["--adapters", "{tmp}"], "no adapters"),
        (["--prompts", "{tmp}/gone.json"], "cannot be read"),
        (["--prompts", "{tmp}/bad.json"], "crash_recognition: the prompt is empty"),
        (["--prompts", "{tmp}/list.json"], "must hold a JSON object"),
        (["--prompts", "{tmp}/number.json"], "crash_recognition: must be text, not int"),
        (["--prompts", "{tmp}/weather.json"], "unknown kind 'weather'"),
        (["--device", "cuda:9"], "no such device"),
        (["{tmp}/empty"], "no clips in this folder"),
    ],
)
def test_what_cannot_begin_says_so(
    base_dir: Path, clip: Path, tmp_path: Path, capsys: Capture, extra: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    contents: dict[str, Any] = {
        "bad": {k.CRASH_RECOGNITION: "<video>"}, "list": [1],
        "number": {k.CRASH_RECOGNITION: 1}, "weather": {"weather": "?"},
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    assert run(clip, "--model", base_dir, *(part.format(tmp=tmp_path) for part in extra)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--kinds", "weather"], "unknown kind 'weather'"),
        (["--kinds", ","], "at least one kind"),
        (["--route", "weather=x"], "is not KIND=ADAPTER"),
        (["--route", "crash_recognition"], "is not KIND=ADAPTER"),
        (["--max-tokens", "0"], "must be positive"),
        (["--decode", "rough"], "invalid choice"),
    ],
)
def test_wrong_arguments_are_named(
    base_dir: Path, clip: Path, capsys: Capture, extra: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(clip, "--model", base_dir, *extra)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_model_must_be_named(clip: Path, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(clip)
    assert stopped.value.code == 2
    assert "the following arguments are required: --model" in capsys.readouterr().err


def test_clips_are_found_in_order(folder: Path) -> None:
    names = [p.name for p in find_clips([folder, Path("x/anything.xyz")])]
    assert names == ["a.mp4", "b.mp4", "c.MP4", "anything.xyz"]


def test_adapters_are_found_by_their_configuration(tmp_path: Path) -> None:
    with pytest.raises(CrashChatError, match="no adapters"):
        find_adapters(tmp_path)
    assert find_adapters(None) == {}


@pytest.mark.slow
def test_no_django_is_needed(base_dir: Path, clip: Path, tmp_path: Path) -> None:
    """In a process where Django cannot even be imported, and one of whose modules says what it had loaded."""
    code = (
        "import sys\n"
        "for name in ('django', 'rest_framework', 'celery', 'crashdesk', 'annotations'):\n"
        "    sys.modules[name] = None\n"
        "from model_assist.crashchat.cli import main\n"
        "code = main(sys.argv[1:])\n"
        "there = [n for n in sys.modules if n.split('.')[0] in ('django', 'crashdesk', 'annotations')]\n"
        "assert len(there) == 3, there\n"
        "raise SystemExit(code)\n"
    )
    given = [clip, "--model", base_dir, "--kinds", k.CRASH_RECOGNITION, "--format", "json"]
    env = {n: v for n, v in os.environ.items() if not n.startswith(("CRASHDESK", "DJANGO"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, given)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["answers"]) == [k.CRASH_RECOGNITION]
