"""Loading the model and its adapters, with every silent failure made loud.

PEFT only warns when an adapter's keys match nothing, and transformers only warns about missing weights: both
would answer with a model that nobody trained.
"""

import importlib.util
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
    VideoLlama3ForConditionalGeneration,
)

from model_assist.crashchat.errors import AdapterError, ModelLoadError, WrongArchitectureError
from model_assist.crashchat.prompts import TURN_END, VIDEO_PAD
from model_assist.crashchat.settings import read_settings

log = logging.getLogger(__name__)

ARCHITECTURE: Final = "video_llama_3"


@dataclass
class LoadedModel:
    """A base model with its adapters, ready to answer.

    adapters: names that `use` accepts.  settings: the base folder's crashdesk.json, {} without one.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    base_path: str
    adapters: tuple[str, ...]
    device: torch.device
    dtype: torch.dtype
    attention: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def network(self) -> Any:
        """The VideoLlama3ForConditionalGeneration inside, with or without PEFT around it."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def use(self, adapter: str) -> None:
        """Make `adapter` answer from now on (milliseconds, no reload).  AdapterError for unknown names."""
        if adapter not in self.adapters:
            known = ", ".join(self.adapters) or "none"
            raise AdapterError(f"adapter {adapter!r} is not loaded (loaded: {known})")
        self.model.set_adapter(adapter, inference_mode=True)


def load(
    base_path: str | Path,
    adapters: Mapping[str, Path],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    attn: str | None = None,
) -> LoadedModel:
    """Load a base model (folder or hub id in the native transformers format) and named adapters.

    Unless given: CUDA when there is one, bfloat16 there and float32 on the CPU, flash_attention_2 when its
    package is installed and the device is CUDA, sdpa otherwise.  Raises ModelLoadError and its subclasses.
    """
    place = torch.device(device) if device else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind = dtype or (torch.bfloat16 if place.type == "cuda" else torch.float32)
    attention = attn or choose_attention(place)
    network, tokenizer = load_base(base_path, dtype=kind, attn=attention)
    model: Any = network
    for name, folder in adapters.items():
        model = add_adapter(model, name, Path(folder))
    if adapters:
        model.set_adapter(next(iter(adapters)))
    model = model.to(place).eval()
    model.requires_grad_(False)
    log.info(
        "loaded %s on %s, %s, %s, adapters: %s", base_path, place, kind, attention, list(adapters) or "none"
    )
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        base_path=str(base_path),
        adapters=tuple(adapters),
        device=place,
        dtype=kind,
        attention=attention,
        settings=read_settings(base_path),
    )


def choose_attention(device: torch.device) -> str:
    """flash_attention_2 on CUDA when the package is installed, sdpa otherwise."""
    if device.type == "cuda" and importlib.util.find_spec("flash_attn") is not None:
        return "flash_attention_2"
    return "sdpa"


def load_base(base_path: str | Path, *, dtype: torch.dtype, attn: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """The network and tokenizer of a base model, checked for architecture and completeness."""
    _check_folder(base_path)
    try:
        config = AutoConfig.from_pretrained(str(base_path))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{base_path}: no usable model configuration ({error})") from error
    _check_architecture(base_path, config.model_type)
    network_class: Any = VideoLlama3ForConditionalGeneration  # its annotation forgets the loading report
    settings_class: Any = GenerationConfig
    try:
        network, report = network_class.from_pretrained(
            str(base_path), dtype=dtype, attn_implementation=attn, output_loading_info=True
        )
        tokenizer = AutoTokenizer.from_pretrained(str(base_path))
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelLoadError(f"{base_path}: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing or report["mismatched_keys"]:
        raise ModelLoadError(
            f"{base_path}: {len(missing)} weights missing (first: {missing[:1]}), "
            f"{len(report['mismatched_keys'])} of another shape"
        )
    _check_tokenizer(base_path, tokenizer, config)
    network.generation_config = settings_class(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=token_id(tokenizer, TURN_END),
        pad_token_id=tokenizer.pad_token_id,
    )
    return network, tokenizer


def _check_architecture(base_path: str | Path, found: str) -> None:
    if found == ARCHITECTURE:
        return
    hint = "; this is the original layout: convert it with python -m model_assist.crashchat.convert"
    raise WrongArchitectureError(
        f"{base_path}: expected a {ARCHITECTURE} model, found {found!r}{hint if 'videollama3' in found else ''}"
    )


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one special token.  Raises ModelLoadError when the tokenizer lacks it."""
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int):
        raise ModelLoadError(f"the tokenizer has no token {token}")
    return found


def _check_folder(base_path: str | Path) -> None:
    """Name what a local folder lacks; hub ids ("owner/name" that is no folder) are left to transformers."""
    folder = Path(base_path)
    if not folder.exists():
        if folder.is_absolute() or str(base_path).startswith(".") or str(base_path).count("/") != 1:
            raise ModelLoadError(f"{base_path}: no such model folder")
        return
    if not folder.is_dir():
        raise ModelLoadError(f"{base_path}: is a file; a model folder is expected")
    if not (folder / "config.json").is_file():
        raise ModelLoadError(f"{base_path}: config.json is missing")
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelLoadError(f"{base_path}: config.json names no model_type ({error!r})") from error
    _check_architecture(base_path, str(found))
    if not any(folder.glob("*.safetensors")):
        raise ModelLoadError(f"{base_path}: no weights (*.safetensors)")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ModelLoadError(f"{base_path}: no tokenizer (tokenizer.json or vocab.json)")


def _check_tokenizer(base_path: str | Path, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    if tokenizer.convert_tokens_to_ids(VIDEO_PAD) != config.video_token_id:
        raise ModelLoadError(f"{base_path}: the tokenizer's {VIDEO_PAD} is not the model's video token")
    if tokenizer.pad_token_id is None or TURN_END not in tokenizer.get_vocab():
        raise ModelLoadError(f"{base_path}: the tokenizer lacks a padding or an end-of-turn token")


def add_adapter(model: Any, name: str, folder: Path, *, trainable: bool = False) -> Any:
    """Put the adapter in `folder` on `model` under `name` and return the PEFT model.

    Raises AdapterError when files are missing, keys would not load, the vision tower would change, or the
    adapter would change nothing at all.
    """
    keys = _adapter_keys(folder)
    touching = [k for k in keys if "vision_model" in k or "vision_encoder" in k]
    if touching:
        raise AdapterError(f"{folder}: changes the frozen vision tower ({touching[0]})")
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), adapter_name=name, is_trainable=trainable)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=trainable)
    except (ValueError, RuntimeError, KeyError, OSError) as error:
        raise AdapterError(f"{folder}: does not fit this model ({error})") from error
    loaded = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    unused, unfilled = sorted(set(keys) - set(loaded)), sorted(set(loaded) - set(keys))
    if unused or unfilled:
        raise AdapterError(
            f"{folder}: {len(unused)} of {len(keys)} weights match nothing (first: {unused[:1]}), "
            f"{len(unfilled)} would stay untrained (first: {unfilled[:1]})"
        )
    if not trainable and _does_nothing(model, loaded):
        raise AdapterError(f"{folder}: changes nothing (all LoRA B matrices are zero, same projector)")
    return model


def _adapter_keys(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise AdapterError(f"{folder}: no such adapter folder")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise AdapterError(f"{folder}: {name} is missing")
    try:
        LoraConfig.from_pretrained(str(folder))
        with safe_open(str(folder / "adapter_model.safetensors"), "pt") as file:
            return list(file.keys())
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise AdapterError(f"{folder}: cannot be read ({error})") from error


def _does_nothing(model: Any, loaded: Mapping[str, torch.Tensor]) -> bool:
    if any(bool(w.any()) for k, w in loaded.items() if "lora_B" in k):
        return False
    original = model.get_base_model().model.projector
    original = getattr(original, "original_module", original).state_dict()
    changed = (
        not torch.equal(w.to(v.device, v.dtype), v)
        for k, w in loaded.items()
        for name, v in original.items()
        if k.endswith(f"projector.{name}")
    )
    return not any(changed)
