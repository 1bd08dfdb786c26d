"""Where a base model comes from, and that a mistyped path asks nobody."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from model_assist.crashchat.errors import CrashChatError, ModelLoadError, WrongArchitectureError
from model_assist.crashchat.model import load
from model_assist.crashchat.model_files import DOWNLOAD_SETTING, find_base


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Attempts to reach the network, all of which fail."""
    made: list[Any] = []

    def refuse(*arguments: Any, **_: Any) -> NoReturn:
        made.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv(DOWNLOAD_SETTING, raising=False)
    return made


@pytest.mark.parametrize(
    "path", ["gone", "./gone/base", "/gone/base", "gone/base", "a/b/c", "~/x", "", "Owner/Näme"]
)
def test_a_wrong_path_is_an_error_and_asks_nobody(calls: list[Any], path: str) -> None:
    with pytest.raises(ModelLoadError, match=r"no such model folder|is missing"):
        load(path, {}, device="cpu")
    assert calls == []


def test_a_name_like_a_hub_id_says_how_to_have_it_fetched(calls: list[Any]) -> None:
    with pytest.raises(ModelLoadError, match="CRASHDESK_DOWNLOAD_MODELS=1"):
        find_base("someone/some-model")
    assert calls == []


def test_folders_and_adapters_load_without_the_network(
    calls: list[Any], base_dir: Path, adapters: dict[str, Path]
) -> None:
    loaded = load(base_dir, adapters, device="cpu")
    assert loaded.adapters == ("linguistic", "perception")
    with pytest.raises(CrashChatError, match="no such adapter folder"):
        load(base_dir, {"x": Path("someone/some-adapter")}, device="cpu")
    assert calls == []


@pytest.mark.parametrize("how", ["setting", "argument"])
def test_only_with_permission_is_the_hub_asked(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client's pauses between attempts
    if how == "setting":
        monkeypatch.setenv(DOWNLOAD_SETTING, "1")
    with pytest.raises(ModelLoadError, match="someone/some-model: the hub could not be reached"):
        find_base("someone/some-model", download=None if how == "setting" else True)
    assert calls


def cached(home: Path, name: str, folder: Path) -> None:
    """Put a model into a Hugging Face cache as the hub's own client does."""
    repository = home / "hub" / ("models--" + name.replace("/", "--"))
    commit = "0" * 40
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)


def test_a_hub_id_in_the_cache_loads_without_the_network(base_dir: Path, tmp_path: Path) -> None:
    cached(tmp_path, "someone/tiny", base_dir)
    original = tmp_path / "original"
    original.mkdir()
    (original / "config.json").write_text('{"model_type": "videollama3_qwen2"}')
    cached(tmp_path, "someone/published", original)
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('the network was asked')\n"
        "socket.getaddrinfo = socket.socket.connect = refuse\n"
        "from model_assist.crashchat.model import load\n"
        "from model_assist.crashchat.errors import ModelLoadError, WrongArchitectureError\n"
        "loaded = load('someone/tiny', {}, device='cpu')\n"
        "assert loaded.base_path == 'someone/tiny' and loaded.settings['max_frames']\n"
        "for wrong in ('gone', 'someone/else'):\n"
        "    try:\n"
        "        load(wrong, {}, device='cpu')\n"
        "    except ModelLoadError as error:\n"
        "        print(error)\n"
        "try:\n"
        "    load('someone/published', {}, device='cpu')\n"
        "except WrongArchitectureError as error:\n"
        "    print(error)\n"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path)}
    env.pop("HF_HUB_CACHE", None)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "crashdesk-convert base someone/published" in done.stdout
    assert done.stdout.count("no such model folder") == 2


def test_the_kind_of_model_is_looked_at_first(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(WrongArchitectureError, match="found 'llava'"):
        find_base(tmp_path)
