"""What answering takes of a device's memory, from the model's own files and without loading any of them.

    weights  = parameters x bytes per value
    KV/token = 2 (keys and values) x layers x key-value heads x head size x bytes per value
    prefix   = visual tokens + the words between the frames
    room     = what the questions of one adapter and their answers take behind the prefix
    row      = (prefix + room) x KV/token
    total    = weights + clips per batch x row

The keys and values are those of grouped-query attention (https://arxiv.org/abs/2305.13245).  The engine keeps one row
for each clip of a batch, in which all questions of an adapter stand behind the same prefix, and nothing of it for the
next adapter.  Tokens are the most that the engine's settings and the wording allow.  Activations, the clips' visual
features, pictures being decoded and the runtime come on top.
"""

import json
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from model_assist.crashchat.prompts import PREFIX_OPENING, suffix_text, time_label
from model_assist.crashchat.settings import EngineSettings
from model_assist.crashchat.sizing import MIN_TOKENS

BYTES: Final[Mapping[str, int]] = {"bfloat16": 2, "float32": 4}
"""Of the two types that the engine computes in: bfloat16 on a GPU, float32 on processors."""
MAX_HEADER: Final = 100_000_000
"""The format's own limit of a header's length, bytes."""
LONGEST_LABEL: Final = len(time_label(999_900_000)) + 1
"""Bytes, and so at most as many tokens, between two frames of the prefix: a time label and a comma."""


class MemoryUnknown(Exception):
    """The model's files do not tell, or are not on this machine."""


@dataclass(frozen=True)
class TextShape:
    """The language model's dimensions that decide its cache."""

    layers: int
    kv_heads: int
    head_size: int

    def kv_bytes(self, value_bytes: int) -> int:
        """Bytes of keys and values that one token leaves in the cache."""
        return 2 * self.layers * self.kv_heads * self.head_size * value_bytes


@dataclass(frozen=True)
class Memory:
    """On one kind of device; sizes in bytes, `prefix` and `room` in tokens. See the module."""

    dtype: str
    parameters: int
    weights: int
    kv_per_token: int
    prefix: int
    room: int
    row: int
    clips_per_batch: int
    caches: int
    total: int


def memory(
    base: Path,
    adapters: Sequence[Path],
    settings: EngineSettings,
    questions: Mapping[str, str],
    *,
    dtype: str,
) -> Memory:
    """Memory for `questions` (wording by kind) on a device that computes in `dtype`.

    Raises MemoryUnknown saying what does not tell.
    """
    shape, size = read_shape(base), BYTES[dtype]
    count = sum(parameters(path) for path in _weights(base))
    count += sum(parameters(path) for folder in adapters for path in _weights(folder))
    prefix, room = clip_tokens(settings), question_tokens(questions, settings, routed=bool(adapters))
    row = (prefix + room) * shape.kv_bytes(size)
    caches = settings.clips_per_batch * row
    return Memory(
        dtype=dtype, parameters=count, weights=count * size, kv_per_token=shape.kv_bytes(size), prefix=prefix,
        room=room, row=row, clips_per_batch=settings.clips_per_batch, caches=caches, total=count * size + caches,
    )  # fmt: skip


def question_tokens(questions: Mapping[str, str], settings: EngineSettings, *, routed: bool) -> int:
    """The most tokens that one adapter's questions about a clip and their answers can have; sampled ones count, too."""
    by_adapter: Counter[str] = Counter()
    for kind, words in questions.items():
        tokens = len(suffix_text(words).encode()) + settings.max_new_tokens[kind]
        by_adapter[settings.routing[kind] if routed else ""] += tokens * (1 + settings.agreement_samples)
    return max(by_adapter.values())


def clip_tokens(settings: EngineSettings) -> int:
    """The most tokens that a clip's prefix can have: the visual budget (or the floor of each frame), and words.

    Words count as many tokens as they have bytes: the tokenizers are byte-level, a token is never less than a byte.
    """
    visual = max(settings.max_tokens, MIN_TOKENS * settings.max_frames)
    return visual + settings.max_frames * LONGEST_LABEL + len(PREFIX_OPENING) + 1


def read_shape(base: Path) -> TextShape:
    """The language model's dimensions in a native config.json. MemoryUnknown when they are not there."""
    path = base / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MemoryUnknown(f"{path} cannot be read here: {error.strerror or error}") from error
    except ValueError as error:
        raise MemoryUnknown(f"{path} is not valid JSON") from error
    text = config.get("text_config") if isinstance(config, dict) else None
    if not isinstance(text, dict):
        raise MemoryUnknown(f"{path} has no text_config")
    size = text.get("head_dim") or _number(text, "hidden_size", path) // _number(
        text, "num_attention_heads", path
    )
    return TextShape(
        layers=_number(text, "num_hidden_layers", path), kv_heads=_number(text, "num_key_value_heads", path),
        head_size=int(size),
    )  # fmt: skip


def _number(text: Mapping[str, Any], name: str, path: Path) -> int:
    value = text.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MemoryUnknown(f"{path} does not say {name}")
    return value


def _weights(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise MemoryUnknown(f"{folder} holds no .safetensors file")
    return found


def parameters(path: Path) -> int:
    """How many numbers a .safetensors file holds, by its header alone (https://huggingface.co/docs/safetensors).

    The header is a JSON object behind its length in eight little-endian bytes; `shape` of each tensor counts.
    """
    try:
        with path.open("rb") as stream:
            header = _header(stream)
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        return sum(_product(shape) for shape in shapes)
    except OSError as error:
        raise MemoryUnknown(f"{path} cannot be read here: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise MemoryUnknown(f"{path} has no usable safetensors header") from error


def _header(stream: BinaryIO) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > MAX_HEADER:
        raise ValueError("the header is too long")
    header: dict[str, Any] = json.loads(stream.read(length))
    return header


def _product(shape: Sequence[int]) -> int:
    count = 1
    for side in shape:
        count *= int(side)
    return count
