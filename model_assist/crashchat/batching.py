"""The prefixes of several clips in one cache, and the attention that lets every question read them in place.

A row of the cache is a clip.  All questions about a clip live in its row: their tokens are appended behind the
prefix, and the attention mask says which question may see which slot, so a prefix of thousands of tokens is kept
once, not once per question.  Rows start at slot 0 and are padded behind their end: causal attention never looks
there, so prefilling needs no padding mask and every token has the position that it has alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from model_assist.crashchat.prefix import embed_prefix

PREFILL_TOKENS: Final = 16384
"""Clips are prefilled together while rows times width stays within this; a longer clip runs by itself.

That many tokens keep any device busy, and the intermediate tensors of a step stay bounded.
"""

ROWS_ATTENTION: Final = "crashdesk_rows"
FEW_QUERIES: Final = 128


@dataclass
class _Window:
    """Where the next tokens go: these rows, from this slot on."""

    rows: slice
    at: int


class _RowLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """One layer's keys and values [rows, heads, slots, head size], written in place through the window."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, window: _Window) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: torch.Tensor = keys
        self.values: torch.Tensor = values
        self.window = window
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the memory is there from the start."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values into the window and return all that lies before its end."""
        rows, at = self.window.rows, self.window.at
        end = at + key_states.shape[2]
        self.keys[rows, :, at:end] = key_states
        self.values[rows, :, at:end] = value_states
        return self.keys[rows, :, :end], self.values[rows, :, :end]

    def get_seq_length(self) -> int:
        return self.window.at

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.window.at + query_length, 0

    def get_max_length(self) -> int:
        return int(self.keys.shape[2])


@dataclass
class StackedPrefixes:
    """Prefilled prefixes of several clips under one adapter.

    cache: keys and values, all layers.  lengths: tokens of each prefix, in the order given.  slot_of: the row in
    which each lies (rows are swapped as they finish, see `swap`).  width: slots before the first question.
    """

    cache: Cache
    lengths: list[int]
    slot_of: list[int]
    width: int
    window: _Window
    memory: torch.Tensor = field(repr=False)

    @property
    def capacity(self) -> int:
        """Slots of a row."""
        return int(self.memory.shape[4])

    def look(self, rows: slice, at: int) -> None:
        """The next tokens belong to these rows and start at this slot."""
        self.window.rows, self.window.at = rows, at

    def swap(self, one: int, other: int) -> None:
        """Exchange two rows (by slot), layer by layer so that little extra memory is needed."""
        if one == other:
            return
        for layer in self.memory:
            kept = layer[:, one].clone()
            layer[:, one] = layer[:, other]
            layer[:, other] = kept
        names = {one: other, other: one}
        self.slot_of = [names.get(slot, slot) for slot in self.slot_of]


def prefill_rows(
    network: Any,
    prefixes: Sequence[tuple[Sequence[int], torch.Tensor]],
    *,
    room: int,
    chunk: int | None = None,
    together: int = PREFILL_TOKENS,
) -> StackedPrefixes:
    """Run the language model over several prefixes (token ids, features [kept, vision]) under the active adapter.

    room: slots kept free behind the longest prefix for questions and answers.  chunk: tokens per row and step,
    None for all at once; a row that is over takes no part in later chunks.  No logits are computed.
    """
    core = network.model
    lengths = [len(ids) for ids, _ in prefixes]
    order = sorted(range(len(prefixes)), key=lambda i: -lengths[i])
    slot_of = [0] * len(prefixes)
    for slot, index in enumerate(order):
        slot_of[index] = slot
    stacked = _allocate(core, lengths, slot_of, room)
    with _last_layer_only_remembers(core.language_model):
        for first, last in _groups([lengths[i] for i in order], chunk, together):
            embeddings = _embed(network, [prefixes[i] for i in order[first:last]])
            step = chunk or embeddings.shape[1]
            for at in range(0, embeddings.shape[1], step):
                live = sum(lengths[i] > at for i in order[first:last])
                stacked.look(slice(first, first + live), at)
                core.language_model(
                    inputs_embeds=embeddings[:live, at : at + step],
                    past_key_values=stacked.cache,
                    use_cache=True,
                )
    return stacked


def _allocate(core: Any, lengths: list[int], slot_of: list[int], room: int) -> StackedPrefixes:
    """Zeroed memory [layers, 2, rows, heads, slots, head size]: masked slots must hold numbers, never NaN."""
    config = core.config.get_text_config()
    if any(kind != "full_attention" for kind in config.layer_types):
        raise ValueError("a language model with sliding window attention cannot share prefixes")
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weight = core.get_input_embeddings().weight
    shape = (
        config.num_hidden_layers, 2, len(lengths), config.num_key_value_heads, max(lengths) + room, head
    )  # fmt: skip
    memory = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
    window = _Window(slice(0, len(lengths)), 0)
    layers: list[Any] = [_RowLayer(keys, values, window) for keys, values in memory]
    return StackedPrefixes(Cache(layers=layers), lengths, slot_of, max(lengths), window, memory)


@contextmanager
def _last_layer_only_remembers(language_model: Any) -> Iterator[None]:
    """Within, the last layer writes its keys and values and does nothing else.

    Nobody reads what it makes of a prefix token: later tokens attend to its keys and values, which are computed
    from the layer before.
    """
    layer = language_model.layers[-1]
    attention = layer.self_attn

    def remember(hidden: torch.Tensor, **given: Any) -> torch.Tensor:
        normed = layer.input_layernorm(hidden)
        shape = (*hidden.shape[:-1], -1, attention.head_dim)
        keys, values = (
            project(normed).view(shape).transpose(1, 2) for project in (attention.k_proj, attention.v_proj)
        )
        cosine, sine = given["position_embeddings"]
        keys, _ = apply_rotary_pos_emb(keys, keys[:, :0], cosine, sine)
        given["past_key_values"].update(keys, values, attention.layer_idx)
        return hidden

    layer.forward = remember
    try:
        yield
    finally:
        del layer.forward


def _groups(lengths: list[int], chunk: int | None, together: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows (longest first) whose step of the prefill stays within `together` tokens."""
    first = 0
    while first < len(lengths):
        width = min(lengths[first], chunk or lengths[first])
        last = min(len(lengths), first + max(1, together // width))
        yield first, last
        first = last


def _embed(network: Any, prefixes: Sequence[tuple[Sequence[int], torch.Tensor]]) -> torch.Tensor:
    """Embeddings [rows, longest, hidden] of some prefixes, zero behind the end of the shorter ones."""
    device = network.model.get_input_embeddings().weight.device
    rows = [embed_prefix(network, torch.tensor([list(ids)], device=device), f)[0] for ids, f in prefixes]
    return rows[0].unsqueeze(0) if len(rows) == 1 else torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


@contextmanager
def rows_attention(network: Any) -> Iterator[None]:
    """Within, the language model attends through `attend_rows`; afterwards as it did before."""
    config = network.model.language_model.config
    before = config._attn_implementation
    config._attn_implementation = ROWS_ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def rows_mask(visible: torch.Tensor, groups: int, dtype: torch.dtype) -> torch.Tensor:
    """bool [rows, queries, slots] to the additive mask [rows, 1, groups * queries, slots] of `attend_rows`."""
    rows, queries, slots = visible.shape
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, float("-inf")
    )
    return mask.unsqueeze(1).expand(rows, groups, queries, slots).reshape(rows, 1, groups * queries, slots)


def attend_rows(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    scaling: float,
    explicit: bool | None = None,
    **unused: Any,
) -> tuple[torch.Tensor, None]:
    """Grouped-query attention of [rows, heads, queries, size] over keys [rows, key heads, slots, size].

    The query heads that share a key head are folded into the query axis, so keys and values are read once and
    never repeated (that copy dominates decoding otherwise).  With few queries on CUDA the two products are
    written out (`explicit`): the fused kernel with a mask runs one block per key head there, which leaves most
    of the device idle.  Its scores are float32 from the first sum on, as in the fused kernel: keys with a common
    offset make them so large that rounding them to 16 bits would decide between slots.  Returns
    [rows, queries, heads, size].
    """
    rows, heads, queries, size = query.shape
    shared = key.shape[1]
    folded = query.reshape(rows, shared, heads // shared * queries, size)
    if explicit is None:
        explicit = query.is_cuda and folded.shape[2] <= FEW_QUERIES
    if explicit:
        scores = _products(folded, key).mul_(scaling).add_(attention_mask)
        mixed = torch.matmul(torch.softmax(scores, -1).to(value.dtype), value)
    else:
        mixed = F.scaled_dot_product_attention(folded, key, value, attn_mask=attention_mask, scale=scaling)
    return mixed.reshape(rows, heads, queries, size).transpose(1, 2), None


def _products(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """float32 [rows, heads, queries, slots]: every query with every key, summed in float32 whatever goes in."""
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):  # without a wide copy of the keys
        wide = torch.bmm(query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), out_dtype=torch.float32)
        return wide.view(*query.shape[:3], key.shape[2])
    return torch.matmul(query.float(), key.float().transpose(2, 3))


AttentionInterface.register(ROWS_ATTENTION, attend_rows)
