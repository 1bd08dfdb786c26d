"""One clip, many questions: the shared prefix is computed once and every question continues from it.

The vision tower runs once per clip (no adapter touches it), projector and language model run over the frames
once per adapter.  All functions work with and without autograd: training takes its loss from `extend`; answers
to several clips are decoded by `batching_decode`.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from model_assist.crashchat.preprocess import ClipInputs


@dataclass(frozen=True)
class Prefix:
    """A prefilled prefix: its length in tokens and the keys and values of every layer (batch of one)."""

    length: int
    cache: DynamicCache


@dataclass(frozen=True)
class Watch:
    """Token ids whose probabilities the decoder records: the spellings of yes and no, and the ten digits."""

    yes: tuple[int, ...] = ()
    no: tuple[int, ...] = ()
    digits: tuple[int, ...] = ()

    @classmethod
    def of(cls, tokenizer: Any) -> "Watch":
        """The single-token spellings that a tokenizer has."""

        def ids(*words: str) -> tuple[int, ...]:
            found = (tokenizer.encode(w, add_special_tokens=False) for w in words)
            return tuple(sorted({f[0] for f in found if len(f) == 1}))

        return cls(ids("Yes", "yes", " Yes", " yes"), ids("No", "no", " No", " no"), ids(*"0123456789"))


@dataclass
class Trace:
    """One decoded answer with what the model thought of each token.

    tokens: generated ids without the end-of-turn token.  logprobs: natural log of each generated token's
    probability, the end-of-turn token's included when `ended`.  digit_entropy: entropy (nats, at most ln 10)
    over the ten digits where one was written.  p_yes, p_no: the spellings' probability at the first token.
    """

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    digit_logprobs: list[float] = field(default_factory=list)
    digit_entropy: list[float] = field(default_factory=list)
    p_yes: float = 0.0
    p_no: float = 0.0
    ended: bool = False


def encode_clip(network: Any, clip: ClipInputs) -> torch.Tensor:
    """Vision features of the kept tokens, [kept, vision hidden size], before the projector.

    They are the same under every adapter and may be cached per clip.
    """
    return encode_frames(network, clip, 0, int(clip.grid[0, 0]))


def encode_frames(network: Any, clip: ClipInputs, first: int, last: int) -> torch.Tensor:
    """Vision features of the kept tokens of frames `first` to `last` - 1.

    Frames do not attend to each other, so the parts of a clip put together are the whole clip's features.
    """
    tower = network.model.vision_model
    _, rows, columns = clip.grid[0].tolist()
    patches, tokens = rows * columns, clip.tokens_per_frame
    output = tower(
        pixel_values=clip.pixels[first * patches : last * patches].to(
            tower.device, tower.dtype, non_blocking=True
        ),
        grid_thw=torch.tensor([[last - first, rows, columns]], device=tower.device),
        merge_sizes=clip.merge.to(tower.device),
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden[clip.keep[first * tokens : last * tokens].to(hidden.device)]


def embed_prefix(network: Any, prefix_ids: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """[1, P] ids and [kept, vision] features to [1, P, hidden] embeddings, through the active projector."""
    core = network.model
    embeddings: torch.Tensor = core.get_input_embeddings()(prefix_ids)
    places = prefix_ids == core.config.video_token_id
    if int(places.sum()) != features.shape[0]:
        raise ValueError(f"the prefix has {int(places.sum())} visual tokens, the clip {features.shape[0]}")
    visual = core.projector(features).to(embeddings.dtype)
    return embeddings.masked_scatter(places.unsqueeze(-1), visual)


def prefill(
    network: Any, prefix_ids: torch.Tensor, features: torch.Tensor, *, chunk: int | None = None
) -> Prefix:
    """Run the language model over the prefix under the active adapter, `chunk` tokens at a time if given."""
    core = network.model
    embeddings = embed_prefix(network, prefix_ids, features)
    cache = DynamicCache(config=core.config.get_text_config())
    for part in torch.split(embeddings, chunk or embeddings.shape[1], dim=1):
        core.language_model(inputs_embeds=part, past_key_values=cache, use_cache=True)
    return Prefix(prefix_ids.shape[1], cache)


def branch(prefix: Prefix, rows: int) -> DynamicCache:
    """A cache of `rows` equal rows sharing the prefix's tensors (layers concatenate, they never write)."""
    cache = copy.copy(prefix.cache)
    cache.layers = []
    layers: list[Any] = prefix.cache.layers
    for layer in layers:
        twin = copy.copy(layer)
        twin.keys = layer.keys.expand(rows, -1, -1, -1)
        twin.values = layer.values.expand(rows, -1, -1, -1)
        cache.layers.append(twin)
    return cache


def left_pad(
    rows: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token lists to ids [B, S] and mask [B, S] (int64), padded on the left."""
    width = max(len(r) for r in rows)
    ids = torch.tensor([[pad_id] * (width - len(r)) + list(r) for r in rows], device=device)
    mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in rows], device=device)
    return ids, mask


def extend(network: Any, cache: DynamicCache, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states [B, S, hidden] of new tokens [B, S] after what `cache` holds; the cache grows.

    `mask` [B, cached + S] is zero at padding.  Positions count unmasked tokens, so a padded row sees exactly
    the positions it would have alone.
    """
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = network.model.language_model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden
