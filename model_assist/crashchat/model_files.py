"""Finding a base model's folder, and saying what is wrong with it before anything is loaded.

A folder is read from the disk and from nowhere else.  A name like a hub id, owner/name, that is no folder is looked up
in this machine's Hugging Face cache; the network is asked only where that was allowed, so that a mistyped path is an
error at once and not a request to a stranger's server.
"""

import json
import os
import re
from pathlib import Path
from typing import Final

from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError

from model_assist.crashchat.errors import ModelLoadError, WrongArchitectureError

ARCHITECTURE: Final = "video_llama_3"
ORIGINAL: Final = "videollama3"
DOWNLOAD_SETTING: Final = "CRASHDESK_DOWNLOAD_MODELS"
NEEDED: Final = ("*.json", "*.safetensors", "merges.txt", "vocab.json")
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def find_base(base_path: str | Path, *, download: bool | None = None) -> Path:
    """The folder of a base model given as a folder or hub id, checked for the files it needs.

    download: whether a hub id may be fetched from the network; by default the setting CRASHDESK_DOWNLOAD_MODELS=1.
    Raises ModelLoadError, WrongArchitectureError.
    """
    folder = Path(base_path)
    if not folder.exists():
        folder = _from_hub(str(base_path), download)
    _check_folder(base_path, folder)
    return folder


def _from_hub(name: str, download: bool | None) -> Path:
    if not _HUB_ID.fullmatch(name):
        raise ModelLoadError(f"{name}: no such model folder")
    allowed = download if download is not None else os.environ.get(DOWNLOAD_SETTING) == "1"
    if not allowed:  # not through the downloading functions: they ask the hub about themselves even offline
        cached = try_to_load_from_cache(name, "config.json")
        if isinstance(cached, str):
            return Path(cached).parent
        raise ModelLoadError(
            f"{name}: no such model folder, and no model of this name in the Hugging Face cache; "
            f"to have it fetched set {DOWNLOAD_SETTING}=1"
        )
    try:
        config = Path(hf_hub_download(name, "config.json"))
        _check_architecture(name, config)  # before 16 GB of the wrong model come
        return Path(snapshot_download(name, allow_patterns=list(NEEDED)))
    except LocalEntryNotFoundError as error:
        raise ModelLoadError(f"{name}: the hub could not be reached ({error})") from error
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{name}: cannot be fetched ({error})") from error


def _check_folder(base_path: str | Path, folder: Path) -> None:
    if not folder.is_dir():
        raise ModelLoadError(f"{base_path}: is a file; a model folder is expected")
    if not (folder / "config.json").is_file():
        hint = ""
        if (folder / "adapter_config.json").is_file():
            hint = " (it holds an adapter; name its base model here)"
        raise ModelLoadError(f"{base_path}: config.json is missing{hint}")
    _check_architecture(base_path, folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        raise ModelLoadError(f"{base_path}: no weights (*.safetensors)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelLoadError(f"{base_path}: no tokenizer (tokenizer.json or vocab.json)")


def _check_architecture(base_path: str | Path, config: Path) -> None:
    try:
        found = str(json.loads(config.read_text(encoding="utf-8"))["model_type"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelLoadError(f"{base_path}: config.json names no model_type ({error!r})") from error
    if found == ARCHITECTURE:
        return
    hint = ""
    if found.startswith(ORIGINAL):
        hint = f"; this is the original layout, convert it: crashdesk-convert base {base_path} OUT"
    raise WrongArchitectureError(f"{base_path}: expected a {ARCHITECTURE} model, found {found!r}{hint}")
