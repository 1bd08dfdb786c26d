"""Several prefixes in one cache, and attention that reads them in place."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model_assist.crashchat.batching import _groups, attend_rows, prefill_rows, rows_attention, rows_mask
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import prefill

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
VISUAL = (9, 2, 30)


@pytest.fixture(scope="module")
def prefixes(bare: LoadedModel) -> list[tuple[list[int], torch.Tensor]]:
    """Three prefixes of different lengths, the longest last."""
    torch.manual_seed(1)
    video = bare.network.config.video_token_id
    opening, closing = (
        bare.tokenizer.encode(t, add_special_tokens=False) for t in ("user Time 0.0s:", "done")
    )
    return [
        (opening + [video] * n + closing, torch.randn(n, bare.network.config.vision_config.hidden_size))
        for n in VISUAL
    ]


@pytest.mark.parametrize("chunk", [None, 1, 7, 1000])
@pytest.mark.parametrize("together", [1, 40, 10_000])
@torch.inference_mode()
def test_rows_hold_what_each_prefix_has_alone(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]], chunk: int | None, together: int
) -> None:
    stacked = prefill_rows(bare.network, prefixes, room=5, chunk=chunk, together=together)
    assert stacked.width == max(len(ids) for ids, _ in prefixes)
    assert stacked.capacity == stacked.width + 5
    for index, (ids, features) in enumerate(prefixes):
        alone: Any = prefill(bare.network, torch.tensor([ids]), features).cache.layers
        slot = stacked.slot_of[index]
        for number, layer in enumerate(alone):
            for kind, expected in enumerate((layer.keys, layer.values)):
                found = stacked.memory[number, kind, slot, :, : len(ids)]
                assert torch.allclose(found, expected[0], atol=1e-5)
    assert bool(torch.isfinite(stacked.memory).all())


@torch.inference_mode()
def test_the_last_layer_is_whole_again_after_a_prefill(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    layer = bare.network.model.language_model.layers[-1]
    worked = []
    hook = layer.mlp.register_forward_hook(lambda *_: worked.append(1))
    ids = torch.tensor([[1, 2, 3]])
    try:
        before = bare.network(input_ids=ids).logits
        prefill_rows(bare.network, prefixes, room=1)
        assert len(worked) == 1  # nothing of a prefix passes the last layer's feed-forward part
        assert torch.equal(bare.network(input_ids=ids).logits, before)
        with pytest.raises(ValueError, match="visual tokens"):
            prefill_rows(bare.network, [(prefixes[0][0], prefixes[1][1])], room=1)
        assert torch.equal(bare.network(input_ids=ids).logits, before)
    finally:
        hook.remove()


@torch.inference_mode()
def test_swapping_rows_moves_what_they_hold(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    stacked = prefill_rows(bare.network, prefixes, room=1)
    held = [stacked.memory[:, :, slot].clone() for slot in stacked.slot_of]
    stacked.swap(0, 2)
    stacked.swap(1, 1)
    for slot, expected in zip(stacked.slot_of, held, strict=True):
        assert torch.equal(stacked.memory[:, :, slot], expected)
    assert sorted(stacked.slot_of) == [0, 1, 2]


@torch.inference_mode()
def test_a_chunk_leaves_out_rows_that_are_over(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    sizes = []
    hook = bare.network.model.language_model.norm.register_forward_hook(
        lambda module, given, output: sizes.append(tuple(output.shape[:2]))
    )
    try:
        prefill_rows(bare.network, prefixes, room=1, chunk=10)
    finally:
        hook.remove()
    lengths = [len(ids) for ids, _ in prefixes]
    expected = [
        (sum(n > at for n in lengths), min(10, max(lengths) - at)) for at in range(0, max(lengths), 10)
    ]
    assert sizes == expected
    assert expected[0][0] == 3
    assert expected[-1][0] == 1


@torch.inference_mode()
def test_no_logits_are_computed_over_the_prefix(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]]
) -> None:
    seen = []
    hook = bare.network.lm_head.register_forward_hook(lambda *_: seen.append(1))
    try:
        prefill_rows(bare.network, prefixes, room=1)
    finally:
        hook.remove()
    assert seen == []


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=9),
    st.one_of(st.none(), st.integers(1, 300)),
    st.integers(1, 2000),
)
def test_groups_cover_all_rows_within_the_budget(lengths: list[int], chunk: int | None, budget: int) -> None:
    lengths = sorted(lengths, reverse=True)
    groups = list(_groups(lengths, chunk, budget))
    assert [i for a, b in groups for i in range(a, b)] == list(range(len(lengths)))
    for first, last in groups:
        width = min(lengths[first], chunk or lengths[first])
        assert last - first == 1 or (last - first) * width <= budget


@pytest.mark.parametrize(("rows", "heads", "shared", "queries", "slots"), [(1, 4, 4, 1, 5), (3, 8, 2, 3, 11)])
def test_attention_equals_the_written_out_formula(
    rows: int, heads: int, shared: int, queries: int, slots: int
) -> None:
    torch.manual_seed(0)
    query = torch.randn(rows, heads, queries, 16)
    key, value = (torch.randn(rows, shared, slots, 16) for _ in range(2))
    visible = torch.rand(rows, queries, slots) > 0.4
    visible[..., 0] = True
    mask = rows_mask(visible, heads // shared, torch.float32)
    expected = torch.empty(rows, queries, heads, 16)
    for row in range(rows):
        for head in range(heads):
            group = head // (heads // shared)
            scores = query[row, head] @ key[row, group].T * 0.25
            weights = torch.softmax(scores.masked_fill(~visible[row], float("-inf")), -1)
            expected[row, :, head] = weights @ value[row, group]
    for explicit in (False, True, None):
        found, _ = attend_rows(None, query, key, value, mask, scaling=0.25, explicit=explicit)
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_GPU])])
@torch.inference_mode()
def test_half_precision_is_as_exact_as_the_fused_kernel(device: str, dtype: torch.dtype) -> None:
    """Keys with one large common part, as Qwen2's key bias makes them: the scores differ little from each other."""
    torch.manual_seed(0)
    rows, heads, shared, queries, slots, size = 2, 8, 2, 3, 200, 64
    query = torch.randn(rows, heads, queries, size, device=device)
    key, value = (torch.randn(rows, shared, slots, size, device=device) for _ in range(2))
    key += 20 * torch.randn(size, device=device)
    visible = torch.rand(rows, queries, slots, device=device) > 0.4
    visible[..., 0] = True
    mask = rows_mask(visible, heads // shared, dtype)
    half = [part.to(dtype) for part in (query, key, value)]
    scaling = size**-0.5
    wide, _ = attend_rows(
        None, *(part.double() for part in half), mask.double(), scaling=scaling, explicit=False
    )

    def error(explicit: bool) -> float:
        found, _ = attend_rows(None, *half, mask, scaling=scaling, explicit=explicit)
        return float((found.double() - wide).norm() / wide.norm())

    assert error(explicit=True) <= 3 * error(explicit=False)


def test_the_network_attends_as_before_afterwards(bare: LoadedModel) -> None:
    config = bare.network.model.language_model.config
    before = config._attn_implementation

    def failing() -> None:
        with rows_attention(bare.network):
            assert config._attn_implementation != before
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert config._attn_implementation == before


def test_sliding_windows_are_refused(
    bare: LoadedModel, prefixes: list[tuple[list[int], torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = bare.network.model.config.get_text_config()
    monkeypatch.setattr(config, "layer_types", ["full_attention", "sliding_attention"])
    with pytest.raises(ValueError, match="sliding"):
        prefill_rows(bare.network, prefixes, room=1)
