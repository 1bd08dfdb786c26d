"""What a conversion will do: every weight's old and new name, what is dropped and why.  Refuses what it does not know.

Names in the original classes and ours (the mapping is CrashChat's and transformers' module trees side by side):

    model.vision_encoder.[vision_encoder.]X   model.vision_model.X       (merged checkpoints double the prefix)
    model.mm_projector.readout.N              model.projector.readout.N
    model.layers / embed_tokens / norm        model.language_model.layers / embed_tokens / norm
    lm_head                                   lm_head
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from model_assist.crashchat.convert.config import (
    TOKENIZER_FILES,
    native_config,
    native_shapes,
    notes_on,
    read_config,
    read_tokenizer,
)
from model_assist.crashchat.convert.sources import OpenFiles, Weight, check_index, weight_files
from model_assist.crashchat.errors import ConversionError

BASE_NAMES: Final = (
    (re.compile(r"^model\.vision_encoder\.(?:vision_encoder\.)?"), "model.vision_model."),
    (re.compile(r"^model\.mm_projector\."), "model.projector."),
    (re.compile(r"^model\.(?=(?:layers|embed_tokens|norm)\.)"), "model.language_model."),
    (re.compile(r"^(?=lm_head\.)"), ""),
)
ROTARY: Final = re.compile(r"\.rotary(?:_pos)?_emb\.inv_freq$")
HEAD, EMBEDDING = "lm_head.weight", "model.language_model.embed_tokens.weight"


@dataclass
class Plan:
    """One conversion, checked but not begun.

    weights: our name -> the original weight, in the order of writing.  dropped: original name -> why.  read_files:
    every file that was read.  write_rest: puts the other files (configuration, tokenizer) into a folder.
    single_file: the one file that all weights go to, "" to cut them into parts.
    """

    kind: str
    source: Path
    weights: dict[str, Weight]
    read_files: list[Path]
    write_rest: Callable[[Path], None]
    single_file: str = ""
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """How many numbers will be written."""
        return sum(torch.Size(weight.shape).numel() for weight in self.weights.values())


def base_name(name: str) -> str | None:
    """Our name of an original base weight, None for names that the original does not have."""
    for pattern, ours in BASE_NAMES:
        changed, count = pattern.subn(ours, name)
        if count:
            return changed
    return None


def plan_base(source: Path, files: OpenFiles) -> Plan:
    """The conversion of a base or merged checkpoint; `files` keeps its weights open.  Raises ConversionError."""
    check_folder(source)
    original = read_config(source)
    tokenizer = read_tokenizer(source, original)
    config = native_config(source / "config.json", original, tokenizer)
    shapes = native_shapes(config)
    paths = weight_files(source)
    named: dict[str, Weight] = {}
    everything: dict[str, Weight] = {}
    dropped: dict[str, str] = {}
    for path in paths:
        for weight in files.weights(path):
            if weight.key in everything:
                raise ConversionError(
                    path, f"is in {everything[weight.key].file.name} as well", key=weight.key
                )
            everything[weight.key] = weight
            if ROTARY.search(weight.key):
                dropped[weight.key] = "rotary angles are computed, not stored"
                continue
            ours = _checked_base_name(weight)
            if ours in named:
                raise ConversionError(path, f"and {named[ours].key} would both become {ours}", key=weight.key)
            named[ours] = weight
    check_index(source, everything)
    if config.tie_word_embeddings:
        _drop_tied_head(named, shapes, dropped, files)
    _check_shapes(source, named, shapes)

    def write_rest(folder: Path) -> None:
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return Plan(
        kind="base",
        source=source,
        weights={name: named[name] for name in shapes if name in named},
        read_files=[*paths, *_others(source)],
        write_rest=write_rest,
        dropped=dropped,
        notes=notes_on(original),
        details={"image_token_id": config.image_token_id, "video_token_id": config.video_token_id},
    )


def _checked_base_name(weight: Weight) -> str:
    ours = base_name(weight.key)
    if "lora_" in weight.key:
        raise ConversionError(weight.file, "is an unmerged LoRA weight inside a base model", key=weight.key)
    if ours is None:
        raise ConversionError(weight.file, "is no weight of the original model", key=weight.key)
    return ours


def _drop_tied_head(
    named: dict[str, Weight], shapes: dict[str, tuple[int, ...]], dropped: dict[str, str], files: OpenFiles
) -> None:
    """With tied embeddings the head is the embedding table: it is written once, if it is the same one."""
    shapes.pop(HEAD, None)
    head, table = named.pop(HEAD, None), named.get(EMBEDDING)
    if head is None or table is None:
        return
    if head.shape != table.shape or not torch.equal(head.read(files), table.read(files)):
        raise ConversionError(
            head.file,
            "differs from the embeddings, though config.json says tie_word_embeddings",
            key=head.key,
        )
    dropped[head.key] = "tied: equal to the embeddings"


def _check_shapes(source: Path, named: Mapping[str, Weight], shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, weight in named.items():
        if name not in shapes:
            raise ConversionError(
                weight.file, f"has no place in a model of config.json's size ({name})", key=weight.key
            )
        if weight.shape != shapes[name]:
            raise ConversionError(
                weight.file,
                f"has shape {list(weight.shape)}, config.json asks for {list(shapes[name])}",
                key=weight.key,
            )
    missing = [name for name in shapes if name not in named]
    if missing:
        raise ConversionError(
            source,
            f"{len(missing)} weights are missing, the first is this one",
            key=original_name(missing[0]),
        )


def original_name(ours: str) -> str:
    """The hub's name of one of our weights, for people who look for it."""
    for native, original in (
        ("model.vision_model.", "model.vision_encoder."),
        ("model.projector.", "model.mm_projector."),
        ("model.language_model.", "model."),
    ):
        if ours.startswith(native):
            return original + ours.removeprefix(native)
    return ours


def _others(source: Path) -> list[Path]:
    """Files besides the weights that a conversion reads."""
    indexes = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
    names = ("config.json", *TOKENIZER_FILES, *indexes)
    return [source / name for name in names if (source / name).is_file()]


def check_folder(source: Path) -> None:
    """ConversionError unless `source` is a folder."""
    if not source.is_dir():
        raise ConversionError(
            source, "is a file; a folder is expected" if source.exists() else "no such folder"
        )


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON as people like to read it."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
