"""Floating point operations of answering a clip, counted from shapes: pure arithmetic, no model needed.

Counted as in Chowdhery et al., PaLM (2022), appendix B, and Kaplan et al., Scaling Laws (2020), section 2.1: a
matrix product of [m, k] and [k, n] is 2 m k n operations; normalisation, softmax, activation and biases are left
out.  Attention is counted as the causal half.  Model FLOPs utilisation is these operations, none counted twice,
over what the device could do in the same time: work that a slower way repeats does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Shape:
    """What of a model's configuration decides about the count.  rank: LoRA rank, 0 without adapters."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    vision_hidden: int
    vision_intermediate: int
    vision_layers: int
    patch: int = 14
    rank: int = 0

    @classmethod
    def of(cls, config: Any, rank: int = 0) -> "Shape":
        """From a VideoLlama3Config."""
        text, vision = config.text_config, config.vision_config
        return cls(
            hidden=text.hidden_size,
            intermediate=text.intermediate_size,
            layers=text.num_hidden_layers,
            heads=text.num_attention_heads,
            key_heads=text.num_key_value_heads,
            vocabulary=text.vocab_size,
            vision_hidden=vision.hidden_size,
            vision_intermediate=vision.intermediate_size,
            vision_layers=vision.num_hidden_layers,
            patch=vision.patch_size,
            rank=rank,
        )

    @property
    def key_width(self) -> int:
        """Numbers per token and layer in the keys, and as many in the values."""
        return self.hidden // self.heads * self.key_heads


def vision_flops(shape: Shape, frames: int, patches: int) -> int:
    """The tower over `frames` frames of `patches` patches each; frames attend to themselves only."""
    wide, between = shape.vision_hidden, shape.vision_intermediate
    embed = 2 * patches * 3 * shape.patch**2 * wide
    linear = 2 * patches * (4 * wide * wide + 2 * wide * between)
    attention = 4 * patches * patches * wide
    return frames * (embed + shape.vision_layers * (linear + attention))


def projector_flops(shape: Shape, kept: int) -> int:
    """The projector over the visual tokens that compression kept."""
    return 2 * kept * (shape.vision_hidden * shape.hidden + shape.hidden * shape.hidden)


def tokens_flops(shape: Shape, count: int, before: int) -> int:
    """The language model, without its head, over `count` new tokens after `before` others."""
    h, between, keys, rank = shape.hidden, shape.intermediate, shape.key_width, shape.rank
    products = [(h, h), (h, keys), (h, keys), (h, h), (h, between), (h, between), (between, h)]
    per_token = sum(2 * a * b + 2 * rank * (a + b) for a, b in products)
    seen = count * before + count * (count + 1) // 2
    return shape.layers * (count * per_token + 4 * seen * h)


def prefix_flops(shape: Shape, count: int) -> int:
    """The language model over a prefix of `count` tokens: of the last layer, keys and values only.

    Nobody reads what the last layer makes of a prefix, so its other products are not work that has to be done.
    """
    h, keys, rank = shape.hidden, shape.key_width, shape.rank
    last = 2 * count * (2 * h * keys + 2 * rank * (h + keys))
    return tokens_flops(replace(shape, layers=shape.layers - 1), count, 0) + last


def head_flops(shape: Shape, count: int) -> int:
    """The vocabulary head at `count` positions."""
    return 2 * count * shape.hidden * shape.vocabulary


def clip_flops(
    shape: Shape,
    *,
    frames: int,
    patches: int,
    kept: int,
    prefix: int,
    adapters: Sequence[Sequence[tuple[int, int]]],
) -> dict[str, int]:
    """Operations of one clip by stage, each thing done once.

    patches: per frame.  kept: visual tokens after compression.  prefix: tokens of the prefix.  adapters: for
    each adapter, (tokens of the question, tokens of the answer) of every question that it answers.
    """
    prefill = decode = 0
    for questions in adapters:
        prefill += projector_flops(shape, kept) + prefix_flops(shape, prefix)
        for question, answer in questions:
            decode += tokens_flops(shape, question + answer - 1, prefix) + head_flops(shape, answer)
    return {"vision": vision_flops(shape, frames, patches), "prefill": prefill, "decode": decode}


def utilisation(flops: float, seconds: float, peak: float) -> float:
    """Model FLOPs utilisation: operations per second over the device's peak operations per second."""
    return flops / seconds / peak
