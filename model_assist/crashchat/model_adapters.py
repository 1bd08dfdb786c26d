"""Putting LoRA adapters on a base model, with every silent failure made loud.

PEFT only warns when an adapter's keys match nothing, and then answers with the bare base model.  So names, shapes and
numbers are checked against the model before PEFT sees them, and what PEFT made of them is checked afterwards.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file

from model_assist.crashchat.errors import AdapterError

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
ORIGINAL_FILES: Final = ("non_lora_trainables.bin", "adapter_model.bin")
ORIGINAL_NAMES: Final = ("base_model.model.model.layers.", ".mm_projector.", ".vision_encoder.")
Weights = Mapping[str, torch.Tensor]


def add_adapter(model: Any, name: str, folder: Path, *, trainable: bool = False) -> Any:
    """Put the adapter in `folder` on `model` under `name` and return the PEFT model.

    An adapter to answer with takes the number format of the base; a trainable one stays in float32.  Raises
    AdapterError when files are missing or not converted, keys would not load, the adapter is of another base, the
    vision tower would change, or the adapter would change nothing at all; `model` is then as it was before, except
    for the first adapter, which leaves a base model that is not to be used.
    """
    config = _read_config(folder)
    weights = _read_weights(folder)
    _check_names(folder, weights)
    _check_shapes(folder, weights, _shapes(model), config)
    if not trainable:
        _check_effect(folder, weights, model, config)
    several = isinstance(model, PeftModel)
    if several and name in model.peft_config:
        raise AdapterError(f"{folder}: an adapter named {name!r} is loaded already")
    options: dict[str, Any] = {"is_trainable": trainable, "autocast_adapter_dtype": trainable}
    try:
        if several:
            model.load_adapter(str(folder), adapter_name=name, **options)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name, **options)
        _check_loaded(folder, weights, model, name)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        _take_off(model, name, several)
        raise AdapterError(f"{folder}: does not fit this model ({error})") from error
    except AdapterError:
        _take_off(model, name, several)
        raise
    return model


def _take_off(model: Any, name: str, several: bool) -> None:
    if several and name in model.peft_config:
        model.delete_adapter(name)


def _read_config(folder: Path) -> LoraConfig:
    if not folder.is_dir():
        raise AdapterError(f"{folder}: no such adapter folder")
    if not (folder / CONFIG_FILE).is_file() and (folder / "config.json").is_file():
        raise AdapterError(f"{folder}: holds a whole model, not an adapter; name it as the base model")
    original = [file for file in ORIGINAL_FILES if (folder / file).is_file()]
    if original:
        raise AdapterError(f"{folder}: {_unconverted(folder)} ({original[0]})")
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise AdapterError(f"{folder}: {file} is missing")
    try:
        config = LoraConfig.from_pretrained(str(folder), local_files_only=True)
    except (ValueError, TypeError, KeyError) as error:
        raise AdapterError(f"{folder}: {CONFIG_FILE} cannot be read ({error})") from error
    if not isinstance(config, LoraConfig):
        raise AdapterError(f"{folder}: {CONFIG_FILE} is not of a LoRA adapter")
    return config


def _unconverted(folder: Path) -> str:
    return f"is in CrashChat's original layout, convert it: crashdesk-convert adapter {folder} OUT"


def _read_weights(folder: Path) -> Weights:
    try:
        return load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, ValueError, OSError) as error:
        raise AdapterError(f"{folder}: {WEIGHTS_FILE} cannot be read ({error})") from error


def _check_names(folder: Path, weights: Weights) -> None:
    if not weights:
        raise AdapterError(f"{folder}: {WEIGHTS_FILE} holds no weights")
    for key in weights:
        if any(name in key for name in ORIGINAL_NAMES):
            raise AdapterError(f"{folder}: {_unconverted(folder)} ({key})")
        if ".vision_model." in key:
            raise AdapterError(f"{folder}: changes the frozen vision tower ({key})")


def _shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the base's weights by their names without PEFT around them."""
    network = model.get_base_model() if isinstance(model, PeftModel) else model
    return {
        name.replace(".base_layer.", ".").replace(".original_module.", "."): tuple(weight.shape)
        for name, weight in network.named_parameters()
        if ".lora_" not in name and ".modules_to_save." not in name
    }


def _check_shapes(
    folder: Path, weights: Weights, shapes: Mapping[str, tuple[int, ...]], config: LoraConfig
) -> None:
    """Compare with the base, so that the message can say which of the two is of another model."""
    for key, weight in weights.items():
        ours = key.removeprefix("base_model.model.")
        layer, _, side = ours.partition(".lora_")
        whole = shapes.get(f"{layer}.weight" if side else ours)
        if whole is None:
            raise AdapterError(f"{folder}: made for another base: this one has no place for {key}")
        expected: tuple[int, ...] = whole
        if side in ("A.weight", "B.weight"):
            rank = weight.shape[0 if side[0] == "A" else -1]
            if not config.rank_pattern and rank != config.r:
                raise AdapterError(f"{folder}: {key} is of rank {rank}, but {CONFIG_FILE} says {config.r}")
            expected = (rank, whole[1]) if side[0] == "A" else (whole[0], rank)
        elif side:
            continue  # what other variants of LoRA keep; PEFT knows their shapes
        if tuple(weight.shape) != expected:
            found = list(weight.shape)
            raise AdapterError(
                f"{folder}: made for another base: {key} has shape {found}, here {list(expected)} fits"
            )


def _check_effect(folder: Path, weights: Weights, model: Any, config: LoraConfig) -> None:
    for key, weight in weights.items():
        if not bool(torch.isfinite(weight).all()):
            raise AdapterError(f"{folder}: {key} holds NaN or infinite numbers")
    scaled = config.lora_alpha != 0
    if scaled and any(bool(w.any()) for key, w in weights.items() if ".lora_B." in key):
        return
    network = model.get_base_model() if isinstance(model, PeftModel) else model
    base = {
        name.replace(".original_module.", "."): weight
        for name, weight in network.named_parameters()
        if ".lora_" not in name and ".modules_to_save." not in name
    }
    for key, weight in weights.items():
        own = base.get(key.removeprefix("base_model.model."))
        if own is not None and not torch.equal(weight.to(own.device, own.dtype), own):
            return
    reason = "all LoRA B matrices are zero" if scaled else "lora_alpha is 0"
    raise AdapterError(f"{folder}: changes nothing ({reason}, and it has no projector of its own)")


def _check_loaded(folder: Path, weights: Weights, model: Any, name: str) -> None:
    loaded = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    unused, unfilled = sorted(set(weights) - set(loaded)), sorted(set(loaded) - set(weights))
    if unused or unfilled:
        raise AdapterError(
            f"{folder}: {len(unused)} of {len(weights)} weights match nothing (first: {unused[:1]}), "
            f"{len(unfilled)} would stay untrained (first: {unfilled[:1]})"
        )
