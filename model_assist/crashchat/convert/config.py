"""The original config.json and tokenizer, checked, and our configuration from them.

What decides the mathematics must be there and must be one of the things that the native model computes; settings
of the original's training change nothing here and are only listed.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Qwen2Config,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3VisionConfig,
)

from model_assist.crashchat.convert.sources import read_json
from model_assist.crashchat.errors import ConversionError
from model_assist.crashchat.prompts import IMAGE_MARKER, SPECIAL_TOKENS, VIDEO_PAD

MODEL_TYPE: Final = "videollama3_qwen2"
NATIVE_TYPE: Final = "video_llama_3"
VISION: Final = "vision_encoder_config"
TEXT_NEEDED: Final = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "max_position_embeddings", "rms_norm_eps",
)  # fmt: skip
TEXT_CARRIED: Final = ("initializer_range", "attention_dropout", "bos_token_id", "eos_token_id", "use_cache")
VISION_NEEDED: Final = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "patch_size",
)  # fmt: skip
VISION_DEFAULTS: Final[Mapping[str, Any]] = {
    "num_channels": 3, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6, "attention_dropout": 0.0,
}  # fmt: skip
"""The defaults of the original's vision configuration, which leaves out what equals them."""
TOKENIZER_FILES: Final = (
    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
ONLY: Final[Mapping[str, tuple[Any, ...]]] = {
    "hidden_act": ("silu",),
    "mm_projector_type": ("mlp2x_gelu",),
    "use_sliding_window": (False, None),
    "rope_scaling": (None,),
    "quantization_config": (None,),
}
"""Settings of which the native model computes only these values; a missing one counts as the first."""


def read_config(folder: Path) -> dict[str, Any]:
    """The original config.json of a base or merged checkpoint.  ConversionError when it is another model's."""
    path = folder / "config.json"
    if not path.is_file() and (folder / "adapter_config.json").is_file():
        raise ConversionError(folder, "holds an adapter; convert it with `crashdesk-convert adapter`")
    config = read_json(path)
    found = config.get("model_type")
    if found == NATIVE_TYPE:
        raise ConversionError(
            path, f"is {NATIVE_TYPE} already: nothing to convert, load it as it is", key="model_type"
        )
    if found != MODEL_TYPE:
        raise ConversionError(path, f"must be {MODEL_TYPE!r}, not {found!r}", key="model_type")
    _need(path, config, TEXT_NEEDED)
    return config


def native_config(
    path: Path, original: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> VideoLlama3Config:
    """Our configuration from the original one at `path`.  Raises ConversionError naming the setting."""
    for key, allowed in ONLY.items():
        if original.get(key, allowed[0]) not in allowed:
            raise ConversionError(
                path, f"is {original[key]!r}, and the native model has only {allowed[0]!r}", key=key
            )
    encoder = original.get("vision_encoder_config")
    if not isinstance(encoder, dict) or not encoder:
        raise ConversionError(path, "is missing, so the vision tower's shape is unknown", key=VISION)
    _need(path, encoder, VISION_NEEDED, prefix=f"{VISION}.")
    heads = original["num_attention_heads"]
    if "head_dim" in original and original["head_dim"] not in (None, original["hidden_size"] // heads):
        raise ConversionError(
            path, f"is {original['head_dim']}, not hidden_size / num_attention_heads", key="head_dim"
        )
    text = Qwen2Config(
        **{key: original[key] for key in (*TEXT_NEEDED, *TEXT_CARRIED) if key in original},
        hidden_act="silu",
        use_sliding_window=False,
        sliding_window=None,
        tie_word_embeddings=bool(original.get("tie_word_embeddings", False)),
        rope_parameters={"rope_type": "default", "rope_theta": _rope_theta(path, original)},
    )
    vision = VideoLlama3VisionConfig(
        **{key: encoder[key] for key in VISION_NEEDED},
        **{key: encoder.get(key, default) for key, default in VISION_DEFAULTS.items()},
    )
    made: Any = VideoLlama3Config  # untyped upstream
    config: VideoLlama3Config = made(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids(VIDEO_PAD),
        tie_word_embeddings=bool(original.get("tie_word_embeddings", False)),
        architectures=["VideoLlama3ForConditionalGeneration"],
    )
    return config


def _need(path: Path, values: Mapping[str, Any], keys: tuple[str, ...], prefix: str = "") -> None:
    for key in keys:
        value = values.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise ConversionError(path, f"must be a positive number, not {value!r}", key=prefix + key)


def _rope_theta(path: Path, original: Mapping[str, Any]) -> float:
    """The base of the rotary angles; newer writers keep it in rope_parameters."""
    newer = original.get("rope_parameters")
    if isinstance(newer, dict):
        if newer.get("rope_type", "default") != "default":
            raise ConversionError(path, f"is {newer['rope_type']!r}, not 'default'", key="rope_parameters")
        original = {**original, "rope_theta": newer.get("rope_theta")}
    _need(path, original, ("rope_theta",))
    return float(original["rope_theta"])


def read_tokenizer(folder: Path, original: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, checked for the special tokens and their ids.  Never asks the network."""
    there = [name for name in TOKENIZER_FILES if (folder / name).is_file()]
    if "tokenizer.json" not in there and not {"vocab.json", "merges.txt"} <= set(there):
        raise ConversionError(folder, "no tokenizer (tokenizer.json, or vocab.json with merges.txt)")
    with tempfile.TemporaryDirectory() as alone:  # without config.json, whose custom code it would ask for
        for name in there:
            shutil.copy(folder / name, alone)
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                alone, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConversionError(folder, f"no usable tokenizer ({error})") from error
    tokenizer.name_or_path = ""
    path, rows = folder / there[0], original.get("vocab_size", 0)
    for token in SPECIAL_TOKENS:
        ids = tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1 or tokenizer.convert_ids_to_tokens(ids[0]) != token:
            raise ConversionError(path, "is not one token of this tokenizer", key=token)
        if ids[0] >= rows:
            raise ConversionError(path, f"has id {ids[0]}, but the model knows {rows} tokens", key=token)
    if tokenizer.pad_token_id is None:
        raise ConversionError(folder, "the tokenizer has no padding token", key="pad_token")
    declared = original.get("image_token_index", -1)
    found = tokenizer.convert_tokens_to_ids(IMAGE_MARKER) if IMAGE_MARKER in tokenizer.get_vocab() else None
    if declared not in (-1, None, found):
        raise ConversionError(
            folder / "config.json",
            f"is {declared}, but the tokenizer's {IMAGE_MARKER} is {found}: they are of different models",
            key="image_token_index",
        )
    return tokenizer


def native_shapes(config: VideoLlama3Config) -> dict[str, tuple[int, ...]]:
    """Every weight of the native model and its shape, made without allocating any."""
    with torch.device("meta"):
        network = VideoLlama3ForConditionalGeneration(config)
    return {name: tuple(weight.shape) for name, weight in network.state_dict().items()}


def notes_on(original: Mapping[str, Any]) -> list[str]:
    """What a reader of the manifest should know about the configuration."""
    notes = []
    if original.get("use_token_compression") is False:
        notes.append(
            "the original was run without token compression (use_token_compression false); CrashDesk compresses"
        )
    used = {*TEXT_NEEDED, *TEXT_CARRIED, *ONLY, VISION, "model_type", "tie_word_embeddings", "rope_theta",
            "rope_parameters", "head_dim", "image_token_index", "use_token_compression"}  # fmt: skip
    unused = sorted(set(original) - used)
    if unused:
        notes.append("settings of config.json that change nothing here: " + ", ".join(unused))
    return notes
