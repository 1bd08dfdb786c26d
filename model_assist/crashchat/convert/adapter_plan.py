"""The plan of an adapter's conversion: LoRA on the language model, with the projector that was trained beside it.

CrashChat's training names its targets by bare suffix, which PEFT finds in the vision tower too.  The tower was
frozen, so those LoRA weights must have changed nothing (B = 0); that is checked before they are dropped.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from transformers import VideoLlama3Config

from model_assist.crashchat.convert.config import NATIVE_TYPE, native_shapes
from model_assist.crashchat.convert.plan import Plan, check_folder, write_json
from model_assist.crashchat.convert.sources import OpenFiles, Weight, read_json
from model_assist.crashchat.errors import ConversionError
from model_assist.crashchat.settings import LORA_TARGETS

PROJECTOR_FILE: Final = "non_lora_trainables.bin"
PROJECTOR_WEIGHTS: Final = ("readout.0.weight", "readout.0.bias", "readout.2.weight", "readout.2.bias")
CARRIED: Final = ("r", "lora_alpha", "lora_dropout", "use_rslora", "base_model_name_or_path")
HARMLESS: Final = (
    "peft_type", "task_type", "inference_mode", "target_modules", "exclude_modules", "bias", "auto_mapping",
    "revision", "init_lora_weights", "peft_version", "megatron_core", "qalora_group_size", "layers_pattern",
)  # fmt: skip
"""Settings that say nothing about the mathematics of the saved weights, or are checked by themselves."""

_PREFIX: Final = "base_model.model.model."
_LAYER: Final = re.compile(
    r"layers\.(?P<layer>\d+)\.(?P<module>self_attn\.(?:q|k|v|o)_proj|mlp\.(?:gate|up|down)_proj)"
    r"\.lora_(?P<side>A|B)\.weight"
)
_VISION: Final = re.compile(r"vision_encoder\.(?P<module>.+)\.lora_(?P<side>A|B)\.weight")
_PROJECTOR: Final = re.compile(r"^(?:base_model\.model\.)?model\.mm_projector\.(?P<weight>.+)$")
Pairs = dict[str, dict[str, Weight]]


def plan_adapter(source: Path, files: OpenFiles, *, base: Path | None = None) -> Plan:
    """The conversion of a CrashChat adapter; `files` keeps its weights open.

    base: a native model folder, to check every shape against.  Raises ConversionError.
    """
    config_file = source / "adapter_config.json"
    check_folder(source)
    config = read_json(config_file)
    _check_config(config_file, config)
    lora_file = _lora_file(source)
    projector_file = source / PROJECTOR_FILE
    if not projector_file.is_file():
        raise ConversionError(
            projector_file,
            "is missing; it holds the projector, and without it the adapter would answer through the wrong one",
        )
    language, vision = _pairs(lora_file, files)
    dropped = _dropped_vision(vision, files)
    modules = _check_layers(lora_file, language, rank=config["r"])
    weights = {
        f"{_PREFIX}language_model.{name}.lora_{side}.weight": language[name][side]
        for name in sorted(language, key=_layer_order)
        for side in "AB"
    } | _projector(projector_file, files)
    if base is not None:
        _check_against(base, weights)
    ours = _native_config(config, modules)

    def write_rest(folder: Path) -> None:
        write_json(folder / "adapter_config.json", ours)

    details: dict[str, Any] = {str(key): config[key] for key in CARRIED if key in config}
    return Plan(
        kind="adapter",
        source=source,
        weights=weights,
        read_files=[config_file, lora_file, projector_file],
        write_rest=write_rest,
        single_file="adapter_model.safetensors",
        dropped=dropped,
        notes=[] if base else ["not checked against a base model (give --base to do so)"],
        details={**details, "layers": 1 + max(_layer_order(n)[0] for n in language), "modules": modules},
    )


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise ConversionError(path, f"must be 'LORA', not {config.get('peft_type')!r}", key="peft_type")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
        raise ConversionError(path, f"must be a positive whole number, not {rank!r}", key="r")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or alpha <= 0:
        raise ConversionError(path, f"must be a positive number, not {alpha!r}", key="lora_alpha")
    if config.get("bias", "none") != "none":
        raise ConversionError(path, f"is {config['bias']!r}; only 'none' is understood", key="bias")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        way = config["init_lora_weights"]
        raise ConversionError(
            path, f"is {way!r}, which changes the base's weights too", key="init_lora_weights"
        )
    for key, value in config.items():
        if key not in CARRIED and key not in HARMLESS and value:
            raise ConversionError(path, f"is {value!r}, an option that is not understood", key=key)


def _lora_file(source: Path) -> Path:
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if (source / name).is_file():
            return source / name
    raise ConversionError(source, "adapter_model.safetensors or adapter_model.bin is missing")


def _pairs(file: Path, files: OpenFiles) -> tuple[Pairs, Pairs]:
    """The A and B of every adapted layer: of the language model, and of the vision tower."""
    language: Pairs = {}
    vision: Pairs = {}
    for weight in files.weights(file):
        name = weight.key.replace(".default.", ".")
        if not name.startswith(_PREFIX):
            raise ConversionError(file, "is no weight of a CrashChat adapter", key=weight.key)
        rest = name.removeprefix(_PREFIX)
        if rest.startswith("language_model."):
            raise ConversionError(file, "has our name already: nothing to convert", key=weight.key)
        if match := _LAYER.fullmatch(rest):
            pairs, module = language, f"layers.{match['layer']}.{match['module']}"
        elif match := _VISION.fullmatch(rest):
            pairs, module = vision, match["module"]
        else:
            raise ConversionError(file, "is no weight of a CrashChat adapter", key=weight.key)
        if match["side"] in pairs.setdefault(module, {}):
            raise ConversionError(file, "is there twice", key=weight.key)
        pairs[module][match["side"]] = weight
    for pair in (*language.values(), *vision.values()):
        if len(pair) != 2:
            (side, weight) = next(iter(pair.items()))
            raise ConversionError(
                file, f"has no lora_{'B' if side == 'A' else 'A'} beside it", key=weight.key
            )
    if not language:
        raise ConversionError(file, "holds no LoRA weights of the language model")
    return language, vision


def _dropped_vision(vision: Pairs, files: OpenFiles) -> dict[str, str]:
    dropped: dict[str, str] = {}
    for pair in vision.values():
        if bool(pair["B"].read(files).any()):
            raise ConversionError(
                pair["B"].file,
                "is not zero, so this adapter changes the vision tower, which CrashDesk keeps frozen",
                key=pair["B"].key,
            )
        dropped |= {pair[side].key: "LoRA on the frozen vision tower, B is zero" for side in "AB"}
    return dropped


def _check_layers(file: Path, language: Pairs, *, rank: int) -> list[str]:
    """The adapted modules, the same in every layer and of fitting shapes."""
    numbers = {_layer_order(name)[0] for name in language}
    modules = sorted({name.split(".", 2)[2] for name in language})
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for layer in range(max(numbers) + 1):
        for module in modules:
            pair = language.get(f"layers.{layer}.{module}")
            if pair is None:
                raise ConversionError(
                    file, "is missing", key=f"{_PREFIX}layers.{layer}.{module}.lora_A.weight"
                )
            a, b = pair["A"], pair["B"]
            if len(a.shape) != 2 or a.shape[0] != rank:
                raise ConversionError(
                    file, f"has shape {list(a.shape)}, but adapter_config.json says r = {rank}", key=a.key
                )
            if len(b.shape) != 2 or b.shape[1] != rank:
                raise ConversionError(
                    file, f"has shape {list(b.shape)}, but adapter_config.json says r = {rank}", key=b.key
                )
            if shapes.setdefault(module, (a.shape, b.shape)) != (a.shape, b.shape):
                raise ConversionError(file, "has another shape than in layer 0", key=a.key)
    return modules


def _layer_order(name: str) -> tuple[int, str]:
    _, layer, module = name.split(".", 2)
    return int(layer), module


def _projector(file: Path, files: OpenFiles) -> dict[str, Weight]:
    found: dict[str, Weight] = {}
    for weight in files.weights(file):
        match = _PROJECTOR.fullmatch(weight.key)
        if match is None or match["weight"] not in PROJECTOR_WEIGHTS:
            raise ConversionError(
                file, "is trained beside the LoRA, and is not the projector", key=weight.key
            )
        if match["weight"] in found:
            raise ConversionError(file, "is there twice", key=weight.key)
        found[match["weight"]] = weight
    for name in PROJECTOR_WEIGHTS:
        if name not in found:
            raise ConversionError(file, "is missing", key=f"{_PREFIX}mm_projector.{name}")
    first, second = found["readout.0.weight"].shape, found["readout.2.weight"].shape
    wide = first[:1]
    if len(first) != 2 or second != wide * 2 or {found[f"readout.{n}.bias"].shape for n in (0, 2)} != {wide}:
        raise ConversionError(
            file, f"and readout.2.weight have shapes {list(first)} and {list(second)}", key="readout.0.weight"
        )
    return {f"{_PREFIX}projector.{name}": found[name] for name in PROJECTOR_WEIGHTS}


def _check_against(base: Path, weights: Mapping[str, Weight]) -> None:
    """Compare every shape with a native base model's."""
    path = base / "config.json"
    values = read_json(path)
    if values.get("model_type") != NATIVE_TYPE:
        raise ConversionError(path, f"must be {NATIVE_TYPE!r} (a converted base)", key="model_type")
    shapes = native_shapes(VideoLlama3Config.from_dict(values))
    for name, weight in weights.items():
        ours = name.removeprefix("base_model.model.")
        layer, _, side = ours.partition(".lora_")
        whole = shapes.get(f"{layer}.weight" if side else ours)
        if whole is None:
            raise ConversionError(weight.file, f"{base} has no such layer", key=weight.key)
        if not side:
            fits = weight.shape == whole
        else:
            fits = weight.shape[1] == whole[1] if side.startswith("A") else weight.shape[0] == whole[0]
        if not fits:
            raise ConversionError(
                weight.file,
                f"has shape {list(weight.shape)}, which does not fit {list(whole)} of {base}",
                key=weight.key,
            )
    layers = {name.split(".layers.")[1].split(".")[0] for name in shapes if ".language_model.layers." in name}
    adapted = {name.split(".layers.")[1].split(".")[0] for name in weights if ".layers." in name}
    if layers != adapted:
        raise ConversionError(base, f"has {len(layers)} layers, the adapter {len(adapted)}")


def _native_config(config: Mapping[str, Any], modules: list[str]) -> dict[str, Any]:
    """The PEFT configuration of the same adapter on the native model."""
    known = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}  # fmt: skip
    some = "|".join(re.escape(module) for module in modules)
    targets = LORA_TARGETS if set(modules) == known else rf"model\.language_model\.layers\.\d+\.({some})"
    return {
        "peft_type": "LORA",
        "task_type": None,
        "r": config["r"],
        "lora_alpha": config["lora_alpha"],
        "lora_dropout": config.get("lora_dropout", 0.0),
        "use_rslora": bool(config.get("use_rslora", False)),
        "bias": "none",
        "target_modules": targets,
        "modules_to_save": ["projector"],
        "inference_mode": True,
        "base_model_name_or_path": config.get("base_model_name_or_path"),
    }
