"""Loading: what is missing, wrong or silently useless is said aloud."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_assist.crashchat.errors import AdapterError, ModelLoadError, WrongArchitectureError
from model_assist.crashchat.model import LoadedModel, choose_attention, load
from model_assist.crashchat.settings import read_settings
from tests.unit.model_assist.crashchat.conftest import write_adapter

Weights = dict[str, torch.Tensor]


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def change(folder: Path, edit: Callable[[Weights], Weights], name: str = "adapter_model.safetensors") -> Path:
    path = folder / name
    save_file(edit(load_file(path)), path, metadata={"format": "pt"})
    return folder


def test_choices_by_device(loaded: LoadedModel) -> None:
    assert (loaded.device.type, loaded.dtype, loaded.attention) == ("cpu", torch.float32, "sdpa")
    assert choose_attention(torch.device("cpu")) == "sdpa"
    assert loaded.adapters == ("linguistic", "perception")
    assert loaded.settings["max_frames"] == 16
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_adapters_switch_without_reloading_and_leave_the_vision_tower_alone(loaded: LoadedModel) -> None:
    features = torch.randn(3, loaded.network.config.vision_config.hidden_size)
    outputs = []
    for name in loaded.adapters:
        loaded.use(name)
        with torch.inference_mode():
            outputs.append(loaded.network.model.projector(features))
    assert not torch.equal(*outputs)
    assert not [n for n, _ in loaded.model.named_modules() if "lora_" in n and "vision_model" in n]
    with pytest.raises(AdapterError, match="'third' is not loaded"):
        loaded.use("third")


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("config.json", r"config\.json is missing"),
        ("model.safetensors", "no weights"),
        ("tokenizer.json", "no tokenizer"),
    ],
)
def test_missing_files_are_named(base_dir: Path, tmp_path: Path, gone: str, message: str) -> None:
    folder = copy_of(base_dir, tmp_path)
    (folder / gone).unlink()
    with pytest.raises(ModelLoadError, match=message):
        load(folder, {}, device="cpu")


def test_a_missing_folder_is_not_taken_for_a_hub_id(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such model folder"):
        load(tmp_path / "gone", {})
    (tmp_path / "file").touch()
    with pytest.raises(ModelLoadError, match="is a file"):
        load(tmp_path / "file", {})


def test_missing_weights_are_an_error(base_dir: Path, tmp_path: Path) -> None:
    folder = change(
        copy_of(base_dir, tmp_path),
        lambda w: {k: v for k, v in w.items() if "readout.0.weight" not in k},
        "model.safetensors",
    )
    with pytest.raises(ModelLoadError, match="1 weights missing"):
        load(folder, {}, device="cpu")


@pytest.mark.parametrize(("kind", "hint"), [("qwen2", "found 'qwen2'"), ("videollama3_qwen2", "convert it")])
def test_another_architecture_is_refused(base_dir: Path, tmp_path: Path, kind: str, hint: str) -> None:
    folder = copy_of(base_dir, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({"model_type": kind, "vocab_size": config["text_config"]["vocab_size"]})
    )
    with pytest.raises(WrongArchitectureError, match=hint):
        load(folder, {}, device="cpu")


def test_a_foreign_tokenizer_is_refused(base_dir: Path, tmp_path: Path) -> None:
    folder = copy_of(base_dir, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["video_token_id"] = 7
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelLoadError, match="not the model's video token"):
        load(folder, {}, device="cpu")


def test_settings_must_be_readable(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == {}
    (tmp_path / "crashdesk.json").write_text("[1]")
    with pytest.raises(ModelLoadError, match="must hold a JSON object"):
        read_settings(tmp_path)
    (tmp_path / "crashdesk.json").write_text("{")
    with pytest.raises(ModelLoadError, match="not valid JSON"):
        read_settings(tmp_path)


@pytest.mark.parametrize("gone", ["adapter_config.json", "adapter_model.safetensors"])
def test_missing_adapter_files_are_named(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path, gone: str
) -> None:
    folder = copy_of(adapters["linguistic"], tmp_path)
    (folder / gone).unlink()
    with pytest.raises(AdapterError, match=gone):
        load(base_dir, {"x": folder}, device="cpu")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_keys_that_match_nothing_are_an_error(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    original_layout = change(
        copy_of(adapters["linguistic"], tmp_path),
        lambda w: {k.replace("model.language_model.", "model."): v for k, v in w.items()},
    )
    with pytest.raises(AdapterError, match="match nothing"):
        load(base_dir, {"x": original_layout}, device="cpu")


def test_another_rank_is_an_error(base_dir: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = change(
        copy_of(adapters["linguistic"], tmp_path),
        lambda w: {k: (v[:2].clone() if "lora_A" in k else v) for k, v in w.items()},
    )
    with pytest.raises(AdapterError, match="does not fit"):
        load(base_dir, {"x": folder}, device="cpu")


def test_a_damaged_file_is_an_error(base_dir: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(adapters["linguistic"], tmp_path)
    (folder / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(AdapterError, match="cannot be read"):
        load(base_dir, {"x": folder}, device="cpu")


def test_an_adapter_on_the_vision_tower_is_refused(base_dir: Path, tmp_path: Path) -> None:
    folder = write_adapter(base_dir, tmp_path / "v", seed=0, targets=r".*(q|k|v)_proj")
    with pytest.raises(AdapterError, match="vision tower"):
        load(base_dir, {"x": folder}, device="cpu")


def test_an_adapter_that_changes_nothing_is_refused(base_dir: Path, tmp_path: Path) -> None:
    folder = write_adapter(base_dir, tmp_path / "n", seed=0, noise=0)
    with pytest.raises(AdapterError, match="changes nothing"):
        load(base_dir, {"x": folder}, device="cpu")
