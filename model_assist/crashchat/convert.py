"""Published VideoLLaMA3 and CrashChat checkpoints to the layout that this engine loads.

    python -m model_assist.crashchat.convert base ORIGINAL OUT
    python -m model_assist.crashchat.convert adapter ORIGINAL OUT

The originals come in their authors' own class layout.  Only names change, no weight does.  An adapter's LoRA on
the vision encoder (an accident of suffix matching in its training) is dropped after checking that it is a no-op.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2Config, VideoLlama3Config, VideoLlama3VisionConfig

from model_assist.crashchat.errors import AdapterError, CrashChatError, ModelLoadError
from model_assist.crashchat.model import token_id
from model_assist.crashchat.prompts import VIDEO_PAD
from model_assist.crashchat.settings import LORA_TARGETS

Weights = Mapping[str, torch.Tensor]

BASE_NAMES: Final = (
    (re.compile(r"^model\.vision_encoder\.(?:vision_encoder\.)?"), "model.vision_model."),
    (re.compile(r"^model\.mm_projector\."), "model.projector."),
    (re.compile(r"^model\.(?=(?:layers|embed_tokens|norm)\.)"), "model.language_model."),
)
"""Original prefixes and ours; merged checkpoints double the vision encoder's."""

ADAPTER_LAYERS: Final = "base_model.model.model.layers."
ADAPTER_PROJECTOR: Final = re.compile(r"^(?:base_model\.model\.)?model\.mm_projector\.")
TEXT_FIELDS: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings", "hidden_act",
    "bos_token_id", "eos_token_id", "use_sliding_window", "max_window_layers",
)  # fmt: skip
VISION_FIELDS: Final = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "patch_size", "num_channels",
    "hidden_act", "layer_norm_eps", "attention_dropout",
)  # fmt: skip


def base_name(name: str) -> str:
    """Our name of an original base weight; names that are the same (lm_head) stay."""
    for pattern, ours in BASE_NAMES:
        changed, count = pattern.subn(ours, name)
        if count:
            return changed
    return name


def convert_base(source: Path, out: Path) -> int:
    """Rewrite a base or merged checkpoint, file by file; returns the number of weights.

    `source` holds config.json, the tokenizer, and *.safetensors or *.bin files.  Raises ModelLoadError.
    """
    original = _read_json(source / "config.json")
    if "vision_encoder_config" not in original:
        raise ModelLoadError(
            f"{source}: config.json is not of the original layout (no vision_encoder_config)"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(source))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{source}: no usable tokenizer ({error})") from error
    out.mkdir(parents=True, exist_ok=True)
    index: dict[str, str] = {}
    total = 0
    files = _weight_files(source)
    for number, file in enumerate(files, 1):
        weights = {
            base_name(n): w.contiguous() for n, w in _read_weights(file).items() if "inv_freq" not in n
        }
        name = f"model-{number:05d}-of-{len(files):05d}.safetensors"
        save_file(weights, out / name, metadata={"format": "pt"})
        index |= dict.fromkeys(weights, name)
        total += sum(w.numel() * w.element_size() for w in weights.values())
    layout = {"metadata": {"total_size": total}, "weight_map": index}
    (out / "model.safetensors.index.json").write_text(json.dumps(layout, indent=2), encoding="utf-8")
    native_config(original, tokenizer).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return len(index)


def native_config(original: Mapping[str, Any], tokenizer: Any) -> VideoLlama3Config:
    """Our configuration from the original config.json."""
    text = Qwen2Config(
        **{n: original[n] for n in TEXT_FIELDS if n in original},
        sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": original.get("rope_theta", 1e6)},
    )
    encoder = original["vision_encoder_config"]
    vision = VideoLlama3VisionConfig(**{n: encoder[n] for n in VISION_FIELDS if n in encoder})
    return VideoLlama3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=token_id(tokenizer, "<|image_pad|>"),
        video_token_id=token_id(tokenizer, VIDEO_PAD),
        tie_word_embeddings=original.get("tie_word_embeddings", False),
    )


def convert_adapter(source: Path, out: Path) -> int:
    """Rewrite a LoRA adapter with its own projector; returns the number of weights written.

    `source` holds adapter_config.json, adapter_model.safetensors or .bin, and non_lora_trainables.bin (the
    projector: without it the adapter would silently answer through the wrong one).  Raises AdapterError.
    """
    config = _read_json(source / "adapter_config.json")
    projector_file = source / "non_lora_trainables.bin"
    if not projector_file.is_file():
        raise AdapterError(f"{source}: non_lora_trainables.bin (the projector) is missing")
    lora_file = next((source / f"adapter_model.{x}" for x in ("safetensors", "bin")
                      if (source / f"adapter_model.{x}").is_file()), None)  # fmt: skip
    if lora_file is None:
        raise AdapterError(f"{source}: adapter_model.safetensors or adapter_model.bin is missing")
    weights = dict(_adapter_weights(lora_file)) | dict(_projector_weights(projector_file))
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "adapter_model.safetensors", metadata={"format": "pt"})
    ours = {
        "peft_type": "LORA",
        "task_type": None,
        "r": config["r"],
        "lora_alpha": config["lora_alpha"],
        "lora_dropout": config["lora_dropout"],
        "bias": "none",
        "target_modules": LORA_TARGETS,
        "modules_to_save": ["projector"],
        "inference_mode": True,
        "base_model_name_or_path": config.get("base_model_name_or_path"),
    }
    (out / "adapter_config.json").write_text(json.dumps(ours, indent=2) + "\n", encoding="utf-8")
    return len(weights)


def _adapter_weights(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for full_name, weight in _read_weights(file).items():
        name = full_name.replace(".default.", ".")
        if "vision_encoder" in name:
            if "lora_B" in name and bool(weight.any()):
                raise AdapterError(f"{file}: {name} changes the vision encoder; this engine keeps it frozen")
        elif name.startswith(ADAPTER_LAYERS):
            yield (
                name.replace(ADAPTER_LAYERS, "base_model.model.model.language_model.layers.", 1),
                weight.contiguous(),
            )
        else:
            raise AdapterError(f"{file}: unexpected weight {name}")


def _projector_weights(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    for name, weight in _read_weights(file).items():
        ours, count = ADAPTER_PROJECTOR.subn("base_model.model.model.projector.", name)
        if not count:
            raise AdapterError(f"{file}: unexpected weight {name}")
        yield ours, weight.contiguous()


def _weight_files(source: Path) -> list[Path]:
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        files = sorted(source.glob(pattern))
        if files:
            return files
    raise ModelLoadError(f"{source}: no weights (*.safetensors or pytorch_model*.bin)")


def _read_weights(file: Path) -> Weights:
    if file.suffix == ".safetensors":
        return load_file(file)
    loaded: Weights = torch.load(file, map_location="cpu", weights_only=True)
    return loaded


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path}: cannot be read ({error})") from error
    return content


def main(arguments: list[str] | None = None) -> int:
    """Convert an original checkpoint."""
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.crashchat.convert", description=main.__doc__
    )
    parser.add_argument("what", choices=("base", "adapter"))
    parser.add_argument("original", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args(arguments)
    try:
        convert = convert_base if options.what == "base" else convert_adapter
        print(f"wrote {convert(options.original, options.out)} weights to {options.out}")
    except CrashChatError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
