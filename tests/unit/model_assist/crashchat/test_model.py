"""Loading: what is missing, wrong or silently useless is said aloud."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model_assist.crashchat import model_device
from model_assist.crashchat.errors import AdapterError, ModelLoadError, WrongArchitectureError
from model_assist.crashchat.model import LoadedModel, add_adapter, choose_attention, load, load_base
from model_assist.crashchat.model_device import choose
from model_assist.crashchat.settings import read_settings
from model_assist.crashchat.tiny import TINY_SETTINGS, save_tiny
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
    assert loaded.settings["max_frames"] == TINY_SETTINGS.max_frames
    assert not any(p.requires_grad for p in loaded.model.parameters())


@pytest.mark.parametrize(
    ("capability", "installed", "dtype", "attention", "why"),
    [
        ((9, 0), True, torch.bfloat16, "flash_attention_2", "is installed"),
        ((9, 0), False, torch.bfloat16, "sdpa", "not installed"),
        ((7, 5), True, torch.float16, "sdpa", "Ampere"),
        ((9, 0), True, torch.float32, "sdpa", "no float32"),
    ],
)
def test_attention_on_a_gpu_follows_what_it_can(
    monkeypatch: pytest.MonkeyPatch,
    capability: tuple[int, int],
    installed: bool,
    dtype: torch.dtype,
    attention: str,
    why: str,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(model_device, "is_flash_attn_2_available", lambda: installed)
    choice = choose("cuda:0", dtype)
    assert choice.attention == attention
    assert why in choice.why["attention"]
    assert choose("cuda", dtype, "eager").attention == "eager"


@pytest.mark.parametrize(("has", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_half_precision_on_a_gpu_is_the_one_it_has(
    monkeypatch: pytest.MonkeyPatch, has: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    choice = choose()
    assert (choice.device.type, choice.dtype) == ("cuda", dtype)


def test_a_device_that_is_not_there_is_refused(base_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelLoadError, match="cuda was asked for, and this machine has no such device"):
        load(base_dir, {}, device="cuda")
    with pytest.raises(ModelLoadError, match="'gpu' is no device"):
        load(base_dir, {}, device="gpu")


def test_the_choice_is_logged_with_its_reasons(base_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="model_assist.crashchat.model"):
        bare = load(base_dir, {}, device="cpu")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "model_assist.crashchat.model"]
    for part in (
        "adapters: none",
        "device cpu (asked for)",
        "dtype float32 (",
        "attention sdpa (flash-attn needs",
    ):
        assert part in line
    assert bare.summary()["attention"] == "sdpa"
    assert bare.summary()["why"]["device"] == "asked for"
    json.dumps(bare.summary())


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


def test_weights_that_the_model_does_not_know_are_an_error(base_dir: Path, tmp_path: Path) -> None:
    folder = change(
        copy_of(base_dir, tmp_path), lambda w: w | {"model.extra.weight": torch.ones(2)}, "model.safetensors"
    )
    with pytest.raises(ModelLoadError, match=r"1 unknown .first: .'model\.extra\.weight'"):
        load(folder, {}, device="cpu")


@pytest.mark.parametrize(
    ("kind", "hint"),
    [("qwen2", "found 'qwen2'"), ("videollama3_qwen2", "convert it: crashdesk-convert base")],
)
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


def test_an_unconverted_adapter_says_how_to_convert_it(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    original_names = change(
        copy_of(adapters["linguistic"], tmp_path),
        lambda w: {k.replace("model.language_model.", "model."): v for k, v in w.items()},
    )
    with pytest.raises(
        AdapterError, match=r"original layout, convert it: crashdesk-convert adapter .*layers\.0"
    ):
        load(base_dir, {"x": original_names}, device="cpu")
    (tmp_path / "published").mkdir()
    for name in ("adapter_config.json", "adapter_model.bin", "non_lora_trainables.bin"):
        (tmp_path / "published" / name).touch()
    with pytest.raises(AdapterError, match=r"crashdesk-convert adapter .*non_lora_trainables\.bin"):
        load(base_dir, {"x": tmp_path / "published"}, device="cpu")


def test_weights_that_a_base_has_no_place_for_are_an_error(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = change(
        copy_of(adapters["linguistic"], tmp_path),
        lambda w: {k.replace(".layers.1.", ".layers.7."): v for k, v in w.items()},
    )
    with pytest.raises(AdapterError, match=r"another base: this one has no place for .*layers\.7\."):
        load(base_dir, {"x": folder}, device="cpu")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_layers_that_would_stay_untrained_are_an_error(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = change(
        copy_of(adapters["linguistic"], tmp_path),
        lambda w: {k: v for k, v in w.items() if ".layers.1." not in k},
    )
    with pytest.raises(AdapterError, match="14 would stay untrained"):
        load(base_dir, {"x": folder}, device="cpu")


def test_an_adapter_of_another_base_is_an_error(adapters: dict[str, Path], tmp_path: Path) -> None:
    save_tiny(tmp_path / "wider", seed=3, hidden=48, layers=2)
    with pytest.raises(AdapterError, match=r"another base: .*lora_\w\.weight has shape .*, here .* fits"):
        load(tmp_path / "wider", {"x": adapters["linguistic"]}, device="cpu")


def test_another_rank_is_an_error(base_dir: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    folder = change(
        copy_of(adapters["linguistic"], tmp_path),
        lambda w: {k: (v[:2].clone() if "lora_A" in k else v) for k, v in w.items()},
    )
    with pytest.raises(AdapterError, match=r"lora_A\.weight is of rank 2, but adapter_config\.json says 4"):
        load(base_dir, {"x": folder}, device="cpu")


def configured(folder: Path, **changes: object) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_an_adapter_scaled_to_nothing_is_an_error(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    zero = change(
        configured(copy_of(adapters["linguistic"], tmp_path), lora_alpha=0, modules_to_save=None),
        lambda w: {k: v for k, v in w.items() if "projector" not in k},
    )
    with pytest.raises(AdapterError, match=r"changes nothing \(lora_alpha is 0"):
        load(base_dir, {"x": zero}, device="cpu")


def test_numbers_that_no_model_has_are_an_error(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = change(
        copy_of(adapters["linguistic"], tmp_path), lambda w: {k: v * float("nan") for k, v in w.items()}
    )
    with pytest.raises(AdapterError, match="holds NaN or infinite numbers"):
        load(base_dir, {"x": folder}, device="cpu")


def test_other_kinds_of_adapters_are_refused(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    folder = copy_of(adapters["linguistic"], tmp_path)
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "IA3", "target_modules": ["q_proj"]})
    )
    with pytest.raises(AdapterError, match=r"adapter_config\.json (is not of a LoRA|cannot be read)"):
        load(base_dir, {"x": folder}, device="cpu")
    with pytest.raises(AdapterError, match="holds a whole model, not an adapter"):
        load(base_dir, {"x": base_dir}, device="cpu")
    with pytest.raises(ModelLoadError, match="it holds an adapter; name its base model here"):
        load(adapters["linguistic"], {}, device="cpu")


@pytest.mark.filterwarnings("ignore:Found missing adapter keys")
def test_a_refused_adapter_leaves_the_others_in_place(
    base_dir: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    network, _ = load_base(base_dir, dtype=torch.float32, attn="sdpa")
    model = add_adapter(network, "linguistic", adapters["linguistic"])
    half = change(
        copy_of(adapters["perception"], tmp_path),
        lambda w: {k: v for k, v in w.items() if ".layers.1." not in k},
    )
    with pytest.raises(AdapterError, match="would stay untrained"):
        add_adapter(model, "perception", half)
    assert list(model.peft_config) == ["linguistic"]
    with pytest.raises(AdapterError, match="'linguistic' is loaded already"):
        add_adapter(model, "linguistic", adapters["perception"])
    model = add_adapter(model, "perception", adapters["perception"])
    assert list(model.peft_config) == ["linguistic", "perception"]


def test_adapters_take_the_bases_number_format(base_dir: Path, adapters: dict[str, Path]) -> None:
    """PEFT would keep them in float32: twice the memory traffic, and other answers than the merged model's."""
    half = load(base_dir, adapters, device="cpu", dtype=torch.bfloat16)
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    network, _ = load_base(base_dir, dtype=torch.bfloat16, attn="sdpa")
    training = add_adapter(network, "x", adapters["linguistic"], trainable=True)
    lora = {p.dtype for n, p in training.named_parameters() if "lora_" in n}
    assert lora == {torch.float32}


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
