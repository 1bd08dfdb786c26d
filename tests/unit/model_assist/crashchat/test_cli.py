"""`python -m model_assist.crashchat`."""

import json
from pathlib import Path

import pytest

from model_assist.crashchat import kinds as k
from model_assist.crashchat.cli import main
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.settings import find_adapters


def test_table_and_json(
    base_dir: Path, adapters: dict[str, Path], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(clip), "--model", str(base_dir), "--adapters", str(adapters["linguistic"].parent)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "state", "conf", "adapter", "answer"]
    assert lines[1].startswith(k.CRASH_RECOGNITION)
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps({k.CRASH_RECOGNITION: "Crash?"}))
    assert main([*arguments, "--format", "json", "--prompts", str(prompts)]) == 0
    assert set(json.loads(capsys.readouterr().out)["answers"]) == set(k.ALL)


def test_errors_are_sentences(base_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "gone.mp4"), "--model", str(base_dir)]) == 1
    assert "gone.mp4" in capsys.readouterr().err
    assert main([str(tmp_path / "gone.mp4"), "--model", str(tmp_path / "gone")]) == 1
    assert "no such model folder" in capsys.readouterr().err
    with pytest.raises(CrashChatError, match="no adapters"):
        find_adapters(tmp_path)
    assert find_adapters(None) == {}
