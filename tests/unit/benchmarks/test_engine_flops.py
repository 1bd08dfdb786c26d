"""The operation count against counts worked by hand, and against the published model's size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.engine_flops import (
    Shape,
    clip_flops,
    head_flops,
    prefix_flops,
    projector_flops,
    tokens_flops,
    utilisation,
    vision_flops,
)
from benchmarks.engine_gpu import seven_billion
from model_assist.crashchat.tiny import make_tokenizer

SMALL = Shape(
    hidden=8, intermediate=20, layers=2, heads=4, key_heads=2, vocabulary=50,
    vision_hidden=6, vision_intermediate=10, vision_layers=3, patch=2,
)  # fmt: skip


def test_a_small_model_worked_by_hand() -> None:
    # tower, one frame of 5 patches: embedding 2*5*(3*2*2)*6 = 720; a layer: q, k, v, o 4 * 2*5*6*6 = 1440,
    # two MLP products 2 * 2*5*6*10 = 1200, scores and mixing 2 * 2*5*5*6 = 600; three layers 9720
    assert vision_flops(SMALL, 1, 5) == 720 + 3 * (1440 + 1200 + 600) == 10440
    assert vision_flops(SMALL, 4, 5) == 4 * 10440
    # projector, 3 tokens: 2*3*6*8 + 2*3*8*8
    assert projector_flops(SMALL, 3) == 288 + 384
    # a token and layer: q and o 2 * 2*8*8 = 256, k and v 2 * 2*8*4 = 128, MLP 3 * 2*8*20 = 960: 1344
    # three tokens after two others see 3 + 4 + 5 = 12 tokens: scores and mixing 2 * 2*12*8 = 384
    assert tokens_flops(SMALL, 3, 2) == 2 * (3 * 1344 + 384) == 8832
    assert head_flops(SMALL, 2) == 2 * 2 * 8 * 50


def test_lora_adds_two_thin_products_per_layer() -> None:
    with_rank = Shape(**{**SMALL.__dict__, "rank": 3})
    # 2*3*(in+out): q, o 2 * 96, k, v 2 * 72, gate, up, down 3 * 168: 840 per token and layer
    assert tokens_flops(with_rank, 1, 0) - tokens_flops(SMALL, 1, 0) == 2 * 840


def test_of_a_prefix_the_last_layer_makes_keys_and_values_only() -> None:
    # three tokens: one whole layer 3 * 1344, seeing 1 + 2 + 3 tokens 2 * 2*6*8 = 192; k and v 2 * 2*3*8*4 = 384
    assert prefix_flops(SMALL, 3) == 3 * 1344 + 192 + 384 == 4608
    # rank 3: a layer 840 per token; k and v 2 * 2*3*(8 + 4) = 144 per token
    assert prefix_flops(Shape(**{**SMALL.__dict__, "rank": 3}), 3) == 4608 + 3 * 840 + 3 * 144


def test_a_clip_is_its_stages() -> None:
    found = clip_flops(SMALL, frames=2, patches=5, kept=3, prefix=7, adapters=[[(4, 1), (2, 3)], [(5, 2)]])
    assert found["vision"] == 2 * 10440
    assert found["prefill"] == 2 * (672 + prefix_flops(SMALL, 7))
    assert found["decode"] == (
        tokens_flops(SMALL, 4, 7) + tokens_flops(SMALL, 4, 7) + tokens_flops(SMALL, 6, 7)
        + head_flops(SMALL, 6)
    )  # fmt: skip


@given(st.integers(1, 50), st.integers(1, 50), st.integers(0, 50))
def test_tokens_cost_the_same_however_they_are_cut(first: int, second: int, before: int) -> None:
    whole = tokens_flops(SMALL, first + second, before)
    assert whole == tokens_flops(SMALL, first, before) + tokens_flops(SMALL, second, before + first)


def test_utilisation() -> None:
    assert utilisation(5e12, 10.0, 1e12) == pytest.approx(0.5)


def test_the_published_shape_has_the_published_size() -> None:
    from transformers import VideoLlama3ForConditionalGeneration

    config = seven_billion(make_tokenizer())
    with torch.device("meta"):
        network = VideoLlama3ForConditionalGeneration(config)
    weights = sum(p.numel() for p in network.parameters())
    assert weights == pytest.approx(8.05e9, rel=0.002)
    # two operations per weight and token, without the embedding table and attention (Kaplan et al.)
    shape = Shape.of(config)
    language = sum(p.numel() for p in network.model.language_model.layers.parameters() if p.ndim == 2)
    assert tokens_flops(shape, 1, 0) - 4 * shape.layers * shape.hidden == 2 * language
