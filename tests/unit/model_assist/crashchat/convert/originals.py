"""Random checkpoints in the layout of the original VideoLLaMA3 classes, and what those classes compute.

Written from the original's description (configuration, module tree, formulas), with nothing of the native model: the
two can only agree if the conversion between them is right.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.nn import functional

from model_assist.crashchat.tiny import make_tokenizer

Weights = dict[str, torch.Tensor]
MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")  # fmt: skip
PREFIX = "base_model.model.model."
PATCH, MERGE, THETA = 14, 2, 1e6

VISION: dict[str, Any] = {
    "model_type": "videollama3_vision_encoder", "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 2, "patch_size": PATCH,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "model_type": "videollama3_qwen2", "architectures": ["Videollama3Qwen2ForCausalLM"], "hidden_size": 32,
    "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": THETA, "hidden_act": "silu",
    "attention_dropout": 0.0, "use_sliding_window": False, "sliding_window": 32768, "max_window_layers": 2,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "mm_projector_type": "mlp2x_gelu",
    "use_token_compression": True, "vision_encoder": None, "mm_projector_lr": 1e-5, "max_frames": 96,
    "auto_map": {"AutoConfig": "configuration_videollama3.Videollama3Qwen2Config"},
}  # fmt: skip


def tokenizer_with_marker() -> Any:
    """A tokenizer that has the original's "<image>" token too."""
    tokenizer = make_tokenizer(vocabulary=700)
    tokenizer.add_tokens(["<image>", "<|stream_start|>", "<|stream_end|>"], special_tokens=True)
    return tokenizer


def original_config(tokenizer: Any, **changes: Any) -> dict[str, Any]:
    return {
        **TEXT,
        "vocab_size": len(tokenizer) + 5,
        "image_token_index": tokenizer.convert_tokens_to_ids("<image>"),
        "vision_encoder_config": VISION,
        **changes,
    }


def base_weights(config: Mapping[str, Any], *, seed: int = 0) -> Weights:
    """Random weights under the hub's names."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 0.3) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    wide, rows = config["hidden_size"], config["vocab_size"]
    key_wide = wide // config["num_attention_heads"] * config["num_key_value_heads"]
    v = config["vision_encoder_config"]
    eyes, eyes_inner = v["hidden_size"], v["intermediate_size"]
    weights = {
        "model.vision_encoder.embeddings.patch_embedding.weight": normal(eyes, 3, PATCH, PATCH, scale=0.1),
        "model.vision_encoder.embeddings.patch_embedding.bias": normal(eyes),
        "model.vision_encoder.post_layernorm.weight": 1 + normal(eyes),
        "model.vision_encoder.post_layernorm.bias": normal(eyes),
        "model.mm_projector.readout.0.weight": normal(wide, eyes),
        "model.mm_projector.readout.0.bias": normal(wide),
        "model.mm_projector.readout.2.weight": normal(wide, wide),
        "model.mm_projector.readout.2.bias": normal(wide),
        "model.embed_tokens.weight": normal(rows, wide, scale=1.0),
        "model.norm.weight": 1 + normal(wide),
    }
    for layer in range(v["num_hidden_layers"]):
        at = f"model.vision_encoder.encoder.layers.{layer}."
        for name in ("layer_norm1", "layer_norm2"):
            weights |= {f"{at}{name}.weight": 1 + normal(eyes), f"{at}{name}.bias": normal(eyes)}
        for name, out, into in [
            *((f"self_attn.{n}", eyes, eyes) for n in ("q_proj", "k_proj", "v_proj", "out_proj")),
            ("mlp.fc1", eyes_inner, eyes),
            ("mlp.fc2", eyes, eyes_inner),
        ]:
            weights |= {f"{at}{name}.weight": normal(out, into), f"{at}{name}.bias": normal(out)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{at}{name}.weight"] = 1 + normal(wide)
        for name, out, into in module_shapes(config):
            weights[f"{at}{name}.weight"] = normal(out, into)
        for name, out in (("q", wide), ("k", key_wide), ("v", key_wide)):
            weights[f"{at}self_attn.{name}_proj.bias"] = normal(out)
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = normal(rows, wide)
    return weights


def module_shapes(config: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """(module, output, input) of the language model's linear layers."""
    wide, inner = config["hidden_size"], config["intermediate_size"]
    keys = wide // config["num_attention_heads"] * config["num_key_value_heads"]
    sizes = [
        (wide, wide),
        (keys, wide),
        (keys, wide),
        (wide, wide),
        (inner, wide),
        (inner, wide),
        (wide, inner),
    ]
    return [(name, *size) for name, size in zip(MODULES, sizes, strict=True)]


def doubled(weights: Mapping[str, torch.Tensor]) -> Weights:
    """The names of a merged checkpoint, which the original's tool writes with the vision prefix twice."""
    return {k.replace("vision_encoder", "vision_encoder.vision_encoder"): w for k, w in weights.items()}


def write_base(
    folder: Path, config: Mapping[str, Any], weights: Weights, tokenizer: Any, *, layout: str = "bin"
) -> Path:
    """Layouts: "bin", "safetensors", "bin parts", "safetensors parts"."""
    folder.mkdir(parents=True)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(dict(config)))
    kind, *parts = layout.split()
    stem, suffix = ("pytorch_model", "bin") if kind == "bin" else ("model", "safetensors")
    names = list(weights)
    cuts = [names[i::3] for i in range(3)] if parts else [names]
    index = {}
    for number, cut in enumerate(cuts, 1):
        file = f"{stem}-{number:05d}-of-00003.{suffix}" if parts else f"{stem}.{suffix}"
        part = {name: weights[name].contiguous() for name in cut}
        if suffix == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(cut, file)
    if parts:
        (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": index}))
    return folder


ADAPTER_CONFIG: dict[str, Any] = {
    "auto_mapping": None, "base_model_name_or_path": "CrashChat/videollama3_original_model", "bias": "none",
    "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "layers_pattern": None,
    "layers_to_transform": None, "lora_alpha": 16, "lora_dropout": 0.05, "modules_to_save": None,
    "peft_type": "LORA", "r": 4, "revision": None,
    "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "task_type": "CAUSAL_LM",
}  # fmt: skip
"""What PEFT 0.4 writes."""


def adapter_weights(config: Mapping[str, Any], *, rank: int = 4, seed: int = 1) -> Weights:
    """LoRA on the language model, and the accidental, untouched one on the vision tower."""
    generator = torch.Generator().manual_seed(seed)
    weights: Weights = {}
    for layer in range(config["num_hidden_layers"]):
        for name, out, into in module_shapes(config):
            at = f"{PREFIX}layers.{layer}.{name}.lora_"
            weights[f"{at}A.weight"] = torch.randn(rank, into, generator=generator) * 0.2
            weights[f"{at}B.weight"] = torch.randn(out, rank, generator=generator) * 0.2
    eyes = config["vision_encoder_config"]["hidden_size"]
    for layer in range(config["vision_encoder_config"]["num_hidden_layers"]):
        for name in "qkv":
            at = f"{PREFIX}vision_encoder.vision_encoder.encoder.layers.{layer}.self_attn.{name}_proj.lora_"
            weights[f"{at}A.weight"] = torch.randn(rank, eyes, generator=generator)
            weights[f"{at}B.weight"] = torch.zeros(eyes, rank)
    return weights


def projector_weights(config: Mapping[str, Any], *, seed: int = 2) -> Weights:
    """non_lora_trainables.bin: a projector of its own."""
    fresh = base_weights(config, seed=seed)
    return {PREFIX + k.removeprefix("model."): w for k, w in fresh.items() if "mm_projector" in k}


def write_adapter(
    folder: Path, lora: Weights, projector: Weights | None, config: Mapping[str, Any] = ADAPTER_CONFIG
) -> Path:
    folder.mkdir(parents=True)
    torch.save(lora, folder / "adapter_model.bin")
    if projector is not None:
        torch.save(projector, folder / "non_lora_trainables.bin")
    (folder / "adapter_config.json").write_text(json.dumps(dict(config)))
    return folder


def merged(weights: Weights, lora: Weights, projector: Weights, *, scale: float) -> Weights:
    """The base with an adapter worked in: W + scale * B A, and the adapter's projector."""
    result = {k: w.clone() for k, w in weights.items()}
    for key, a in lora.items():
        if "lora_A" in key and "vision_encoder" not in key:
            name = "model." + key.removeprefix(PREFIX).replace(".lora_A.weight", ".weight")
            result[name] += scale * lora[key.replace("lora_A", "lora_B")] @ a
    return result | {"model." + k.removeprefix(PREFIX): w for k, w in projector.items()}


def original_logits(
    config: Mapping[str, Any],
    weights: Weights,
    ids: list[int],
    pixels: torch.Tensor,
    grid: tuple[int, int, int],
) -> torch.Tensor:
    """Logits [tokens, vocabulary] as the original classes compute them.

    ids: with "<image>" once per visual token.  pixels: [t*h*w, 3*14*14], in the processor's order of 2x2 blocks.
    """
    features = _vision(config["vision_encoder_config"], weights, pixels, grid)
    project = "model.mm_projector.readout."
    features = functional.gelu(_linear(weights, f"{project}0", features))
    features = _linear(weights, f"{project}2", features)
    tokens = torch.tensor(ids)
    table = weights["model.embed_tokens.weight"]
    hidden = table[tokens].clone()
    hidden[tokens == config["image_token_index"]] = features
    for layer in range(config["num_hidden_layers"]):
        hidden = _text_layer(config, weights, f"model.layers.{layer}.", hidden)
    hidden = _rms(weights, "model.norm", hidden, config["rms_norm_eps"])
    return hidden @ weights.get("lm_head.weight", table).T


def _linear(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def _rms(weights: Weights, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    return weights[f"{name}.weight"] * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


def _turn(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotary positions: x [heads, n, d], angles [n, d/2]; pairs are (i, i + d/2)."""
    low, high = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)


def _attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    return scores.masked_fill(~mask, float("-inf")).softmax(-1) @ v


def _heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.view(x.shape[0], heads, -1).transpose(0, 1)


def _vision(
    config: Mapping[str, Any], weights: Weights, pixels: torch.Tensor, grid: tuple[int, int, int]
) -> torch.Tensor:
    t, h, w = grid
    at, heads = "model.vision_encoder.", config["num_attention_heads"]
    kernel = weights[f"{at}embeddings.patch_embedding.weight"]
    x = pixels @ kernel.flatten(1).T + weights[f"{at}embeddings.patch_embedding.bias"]
    blocks = (h // MERGE, MERGE, w // MERGE, MERGE)
    rows = torch.arange(h).view(h, 1).expand(h, w).reshape(blocks).permute(0, 2, 1, 3).flatten()
    columns = torch.arange(w).view(1, w).expand(h, w).reshape(blocks).permute(0, 2, 1, 3).flatten()
    half = config["hidden_size"] // heads // 2
    speed = 1.0 / 10000.0 ** (torch.arange(0, half, 2) / half)
    angles = torch.cat([rows[:, None] * speed, columns[:, None] * speed], dim=1).repeat(t, 1)
    frame = torch.arange(t).repeat_interleave(h * w)
    same_frame = frame[:, None] == frame[None, :]
    for layer in range(config["num_hidden_layers"]):
        here = f"{at}encoder.layers.{layer}."
        y = _norm(weights, f"{here}layer_norm1", x)
        q, k, v = (_heads(_linear(weights, f"{here}self_attn.{n}_proj", y), heads) for n in "qkv")
        y = _attend(_turn(q, angles), _turn(k, angles), v, same_frame).transpose(0, 1).flatten(1)
        x = x + _linear(weights, f"{here}self_attn.out_proj", y)
        y = _linear(weights, f"{here}mlp.fc1", _norm(weights, f"{here}layer_norm2", x))
        x = x + _linear(weights, f"{here}mlp.fc2", functional.gelu(y, approximate="tanh"))
    return _norm(weights, f"{at}post_layernorm", x).view(-1, MERGE * MERGE, x.shape[1]).mean(1)


def _norm(weights: Weights, name: str, x: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)


def _text_layer(config: Mapping[str, Any], weights: Weights, at: str, x: torch.Tensor) -> torch.Tensor:
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width, n = config["hidden_size"] // heads, x.shape[0]
    angles = torch.arange(n)[:, None] / config["rope_theta"] ** (torch.arange(0, width, 2) / width)
    y = _rms(weights, f"{at}input_layernorm", x, config["rms_norm_eps"])
    q = _turn(_heads(_linear(weights, f"{at}self_attn.q_proj", y), heads), angles)
    k = _turn(_heads(_linear(weights, f"{at}self_attn.k_proj", y), groups), angles)
    v = _heads(_linear(weights, f"{at}self_attn.v_proj", y), groups)
    k, v = (z.repeat_interleave(heads // groups, dim=0) for z in (k, v))
    y = _attend(q, k, v, torch.ones(n, n, dtype=torch.bool).tril()).transpose(0, 1).flatten(1)
    x = x + _linear(weights, f"{at}self_attn.o_proj", y)
    y = _rms(weights, f"{at}post_attention_layernorm", x, config["rms_norm_eps"])
    gate, up = (_linear(weights, f"{at}mlp.{n}_proj", y) for n in ("gate", "up"))
    return x + _linear(weights, f"{at}mlp.down_proj", functional.silu(gate) * up)
