"""One clip, many questions: the shared prefix is computed once and every question continues from it.

The vision tower runs once per clip (no adapter touches it), projector and language model run over the frames
once per adapter, and the questions of an adapter are answered as one batch on zero-copy views of that cache.
Logits are computed for the newest position only.  All functions work with and without autograd: training uses
`extend` for its loss.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import DynamicCache

from model_assist.crashchat.model import LoadedModel, token_id
from model_assist.crashchat.preprocess import ClipInputs
from model_assist.crashchat.prompts import TURN_END


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
    tower = network.model.vision_model
    output = tower(
        pixel_values=clip.pixels.to(tower.device, tower.dtype),
        grid_thw=clip.grid.to(tower.device),
        merge_sizes=clip.merge.to(tower.device),
    )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden[clip.keep.to(hidden.device)]


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


@torch.inference_mode()
def answer_batch(
    loaded: LoadedModel,
    prefix: Prefix,
    suffixes: Sequence[Sequence[int]],
    limits: Sequence[int],
    watch: Watch,
) -> list[Trace]:
    """Greedy answers to several questions (token lists) about one prefix, each with its own token limit.

    No penalty, no sampling: the most probable token at every step, as the published evaluation decodes.
    """
    if not suffixes:
        return []
    network, tokenizer = loaded.network, loaded.tokenizer
    end = token_id(tokenizer, TURN_END)
    pad = tokenizer.pad_token_id
    ids, mask = left_pad(suffixes, pad, loaded.device)
    mask = torch.cat([mask.new_ones(len(suffixes), prefix.length), mask], 1)
    cache = branch(prefix, len(suffixes))
    traces = [Trace() for _ in suffixes]
    for step in range(max(limits)):
        hidden = extend(network, cache, ids, mask)[:, -1]
        logprobs = torch.log_softmax(network.lm_head(hidden).float(), -1)
        tokens = logprobs.argmax(-1)
        _record(traces, limits, tokens, logprobs, watch, end, first=step == 0)
        if all(t.ended or len(t.tokens) >= n for t, n in zip(traces, limits, strict=True)):
            break
        ids = tokens.unsqueeze(1)
        mask = torch.cat([mask, mask.new_ones(len(suffixes), 1)], 1)
    return traces


def _record(
    traces: list[Trace],
    limits: Sequence[int],
    tokens: torch.Tensor,
    logprobs: torch.Tensor,
    watch: Watch,
    end: int,
    *,
    first: bool,
) -> None:
    """Write one decoding step into the traces of the rows that are still answering."""
    chosen = logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
    digits = torch.softmax(logprobs[:, list(watch.digits)], -1)
    entropy = (-(digits * digits.clamp(min=1e-12).log()).sum(-1)).tolist()
    for row, (trace, limit, token) in enumerate(zip(traces, limits, tokens.tolist(), strict=True)):
        if first:
            trace.p_yes = float(logprobs[row, list(watch.yes)].exp().sum())
            trace.p_no = float(logprobs[row, list(watch.no)].exp().sum())
        if trace.ended or len(trace.tokens) >= limit:
            continue
        trace.logprobs.append(chosen[row])
        if token == end:
            trace.ended = True
            continue
        trace.tokens.append(token)
        if token in watch.digits:
            trace.digit_logprobs.append(chosen[row])
            trace.digit_entropy.append(entropy[row])
