"""Loading a base model and its adapters.  What is missing, wrong or silently useless is an error with the file's name.

transformers only warns about missing weights, and would answer with a model that nobody trained.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
    VideoLlama3ForConditionalGeneration,
)

from model_assist.crashchat.errors import AdapterError, ModelLoadError
from model_assist.crashchat.model_adapters import add_adapter
from model_assist.crashchat.model_device import choose, choose_attention
from model_assist.crashchat.model_files import ARCHITECTURE, find_base
from model_assist.crashchat.prompts import TURN_END, VIDEO_PAD
from model_assist.crashchat.settings import read_settings

__all__ = [
    "ARCHITECTURE", "LoadedModel", "add_adapter", "choose_attention", "load", "load_base", "token_id",
]  # fmt: skip

log = logging.getLogger(__name__)


@dataclass
class LoadedModel:
    """A base model with its adapters, ready to answer.

    adapters: names that `use` accepts.  settings: the base folder's crashdesk.json, {} without one.  why: the reason
    for the device, the dtype and the attention.
    """

    model: Any
    tokenizer: PreTrainedTokenizerBase
    base_path: str
    adapters: tuple[str, ...]
    device: torch.device
    dtype: torch.dtype
    attention: str
    settings: dict[str, Any] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def network(self) -> Any:
        """The VideoLlama3ForConditionalGeneration inside, with or without PEFT around it."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    def use(self, adapter: str) -> None:
        """Make `adapter` answer from now on (milliseconds, no reload); "" is the bare base, its projector included.

        AdapterError for unknown names.
        """
        if adapter and adapter not in self.adapters:
            known = ", ".join(self.adapters) or "none"
            raise AdapterError(f"adapter {adapter!r} is not loaded (loaded: {known})")
        if not self.adapters:
            return
        if adapter:
            self.model.base_model.enable_adapter_layers()
            self.model.set_adapter(adapter, inference_mode=True)
        else:
            self.model.base_model.disable_adapter_layers()

    def summary(self) -> dict[str, Any]:
        """What runs and why, JSON-ready."""
        return {
            "base": self.base_path,
            "adapters": list(self.adapters),
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "attention": self.attention,
            "why": dict(self.why),
        }


def load(
    base_path: str | Path,
    adapters: Mapping[str, Path],
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    attn: str | None = None,
    download: bool | None = None,
) -> LoadedModel:
    """Load a base model (folder or hub id in the native transformers format) and named adapters.

    Unless given: CUDA when there is one, bfloat16 there and float32 on the CPU, flash_attention_2 when its
    package is installed and the device is CUDA, sdpa otherwise.  A folder never asks the network; a hub id does only
    with `download`, or CRASHDESK_DOWNLOAD_MODELS=1.  Raises ModelLoadError and its subclasses.
    """
    choice = choose(device, dtype, attn)
    folder = find_base(base_path, download=download)
    network, tokenizer = load_base(folder, dtype=choice.dtype, attn=choice.attention, name=str(base_path))
    model: Any = network
    for name, adapter in adapters.items():
        model = add_adapter(model, name, Path(adapter))
    if adapters:
        model.set_adapter(next(iter(adapters)))
    model = model.to(choice.device).eval()
    model.requires_grad_(False)
    loaded = LoadedModel(
        model=model,
        tokenizer=tokenizer,
        base_path=str(base_path),
        adapters=tuple(adapters),
        device=choice.device,
        dtype=choice.dtype,
        attention=choice.attention,
        settings=read_settings(folder),
        why=choice.why,
    )
    said = loaded.summary()
    log.info(
        "loaded %s, adapters: %s; %s", base_path, ", ".join(adapters) or "none",
        "; ".join(f"{name} {said[name]} ({reason})" for name, reason in choice.why.items()),
    )  # fmt: skip
    return loaded


def load_base(
    base_path: str | Path, *, dtype: torch.dtype, attn: str, name: str = ""
) -> tuple[Any, PreTrainedTokenizerBase]:
    """The network (on the CPU) and tokenizer of a base model, checked for architecture and completeness.

    name: what messages call it, `base_path` by default.  Raises ModelLoadError, WrongArchitectureError.
    """
    name = name or str(base_path)
    folder = str(find_base(base_path))
    network_class: Any = VideoLlama3ForConditionalGeneration  # its annotation forgets the loading report
    settings_class: Any = GenerationConfig
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        network, report = network_class.from_pretrained(
            folder, dtype=dtype, attn_implementation=attn, output_loading_info=True, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError, SafetensorError) as error:
        raise ModelLoadError(f"{name}: {error}") from error
    missing, unexpected = sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
    if missing or unexpected or report["mismatched_keys"]:
        raise ModelLoadError(
            f"{name}: {len(missing)} weights missing (first: {missing[:1]}), "
            f"{len(unexpected)} unknown (first: {unexpected[:1]}), "
            f"{len(report['mismatched_keys'])} of another shape"
        )
    _check_tokenizer(name, tokenizer, config)
    network.generation_config = settings_class(
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        eos_token_id=token_id(tokenizer, TURN_END),
        pad_token_id=tokenizer.pad_token_id,
    )
    return network, tokenizer


def token_id(tokenizer: PreTrainedTokenizerBase, token: str) -> int:
    """The id of one special token.  Raises ModelLoadError when the tokenizer lacks it."""
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int):
        raise ModelLoadError(f"the tokenizer has no token {token}")
    return found


def _check_tokenizer(name: str, tokenizer: PreTrainedTokenizerBase, config: Any) -> None:
    if tokenizer.convert_tokens_to_ids(VIDEO_PAD) != config.video_token_id:
        raise ModelLoadError(f"{name}: the tokenizer's {VIDEO_PAD} is not the model's video token")
    if tokenizer.pad_token_id is None or TURN_END not in tokenizer.get_vocab():
        raise ModelLoadError(f"{name}: the tokenizer lacks a padding or an end-of-turn token")
