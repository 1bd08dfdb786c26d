"""First stage: the vision tower learns from single frames what each visual token shows.

A linear read-out of every token has to name the road users in it, whether they brake or touch, how far the next
one is, and what it looks like in small.  The read-out is thrown away afterwards and the tower frozen, as in the
published recipe.
"""

import random
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from model_assist.crashchat.preprocess import patchify
from model_assist.crashchat.sizing import MERGE, PATCH
from model_assist.training.make_tiny_clips import CELL_LABELS, SIDE, Pool

FRAMES: Final = 32
"""Frames per step."""
SHARDS_HELD: Final = 6
STEPS_HELD: Final = 60
"""Shards in memory at a time, and steps drawn from them."""

_SEEN: Final = CELL_LABELS.index("touching") + 1
"""Labels that a single frame can show; who is subject and object, only time tells."""
_SMALL: Final = 7
_PICTURE: Final = _SMALL * _SMALL * 3


@dataclass(frozen=True)
class FrameBatch:
    """uint8 [N, rows, columns, 3] with labels [N, tokens, ...]."""

    pixels: torch.Tensor
    cells: torch.Tensor
    filled: torch.Tensor


class FrameOrder:
    """Draws batches from a pool: a window of shards at a time, frames at random within it."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._window = -1
        self._held: FrameBatch | None = None

    def __call__(self, step: int) -> FrameBatch:
        window, within = divmod(step, STEPS_HELD)
        if self._held is None or window != self._window:
            self._window, self._held = window, self._load(window)
        held = self._held
        rng = np.random.default_rng([*f"{self.pool.seed}/frames".encode(), window, within])
        chosen = torch.from_numpy(rng.choice(len(held.pixels), FRAMES, replace=False))
        return FrameBatch(held.pixels[chosen], held.cells[chosen], held.filled[chosen])

    def _load(self, window: int) -> FrameBatch:
        first = window * SHARDS_HELD
        turn, place = divmod(first, self.pool.shards)
        order = list(range(self.pool.shards))
        random.Random(f"{self.pool.seed}/frames/{turn}").shuffle(order)
        numbers = [order[(place + i) % self.pool.shards] for i in range(SHARDS_HELD)]
        clips = [c for n in numbers for c in self.pool.read(n)]
        shape = clips[0].pixels.shape[1:]
        clips = [c for c in clips if c.pixels.shape[1:] == shape]
        return FrameBatch(
            torch.from_numpy(np.concatenate([c.pixels for c in clips])),
            torch.from_numpy(np.concatenate([c.cells for c in clips])),
            torch.from_numpy(np.concatenate([c.filled for c in clips])),
        )


class FrameLoss(nn.Module):
    """Loss of one batch of frames; trains the tower and the read-out."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower
        self.read_out = nn.Linear(tower.config.hidden_size, _SEEN + 1 + _PICTURE)
        self.parts: dict[str, float] = {}

    def forward(self, batch: FrameBatch) -> torch.Tensor:
        """A scalar; `parts` holds its components."""
        count, rows, columns, _ = batch.pixels.shape
        tower: Any = self.tower
        hidden = tower(
            pixel_values=patchify(batch.pixels.numpy()),
            grid_thw=torch.tensor([[count, rows // PATCH, columns // PATCH]]),
            merge_sizes=torch.tensor([MERGE]),
        ).last_hidden_state
        said = self.read_out(hidden)
        cells = batch.cells.flatten(0, 1)
        labels = nn.functional.binary_cross_entropy_with_logits(
            said[:, :_SEEN], cells[:, :_SEEN], pos_weight=torch.full((_SEEN,), 4.0)
        )
        filled = batch.filled.flatten().float()
        miss = nn.functional.smooth_l1_loss(said[:, _SEEN], cells[:, len(CELL_LABELS)], reduction="none")
        gap = (miss * filled).sum() / filled.sum().clamp(min=1)
        picture = nn.functional.mse_loss(said[:, _SEEN + 1 :], small(batch.pixels))
        self.parts = {
            "labels": float(labels.detach()),
            "gap": float(gap.detach()),
            "picture": float(picture.detach()),
        }
        return 2 * labels + 0.5 * gap + 2 * picture


def small(pixels: torch.Tensor) -> torch.Tensor:
    """Each token's picture at 7x7: uint8 [N, rows, columns, 3] to [N * tokens, 147] in -1..1."""
    count, rows, columns, _ = pixels.shape
    step = SIDE // _SMALL
    x = pixels.float().div(127.5).sub(1)
    x = x.view(count, rows // SIDE, _SMALL, step, columns // SIDE, _SMALL, step, 3).mean((3, 6))
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, _PICTURE)
