"""Frames to model inputs, bit for bit as VideoLLaMA3's original processor (PIL bicubic), no torchvision."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from model_assist.crashchat.frames import Frames, Pixels
from model_assist.crashchat.sizing import MERGE, PATCH, target_size

MASK_THRESHOLD = 0.1
"""A token is dropped when 255 * mean |change| of its normalised pixels since the last frame is below this."""


@dataclass(frozen=True)
class ClipInputs:
    """One clip as the vision tower takes it.

    pixels: float32 [T * gh * gw, 3 * PATCH**2], normalised to [-1, 1].  grid: int64 [1, 3] = T, gh, gw in
    patches.  merge: int64 [1].  keep: bool [T * tokens_per_frame], False where a token repeats its last.
    """

    pixels: torch.Tensor
    grid: torch.Tensor
    merge: torch.Tensor
    keep: torch.Tensor
    tokens_per_frame: int

    @property
    def token_counts(self) -> list[int]:
        """Visual tokens kept of each frame."""
        counts: list[int] = self.keep.view(-1, self.tokens_per_frame).sum(1).tolist()
        return counts


def preprocess(frames: Frames, *, max_tokens: int, mask_dtype: torch.dtype = torch.float32) -> ClipInputs:
    """Resize (unless the reader already has), normalise, cut into patches and compute the compression mask.

    `mask_dtype` bfloat16 reproduces the original's mask on GPUs, where it is computed on bfloat16 pixels.
    """
    count = len(frames.pixels)
    rows, columns = target_size(frames.height, frames.width, count, max_tokens=max_tokens)
    resized = resize(frames.pixels, rows, columns)
    pixels = patchify(resized)
    tokens_per_frame = (rows // PATCH // MERGE) * (columns // PATCH // MERGE)
    return ClipInputs(
        pixels=pixels,
        grid=torch.tensor([[count, rows // PATCH, columns // PATCH]]),
        merge=torch.tensor([MERGE]),
        keep=compression_mask(pixels.to(mask_dtype), count, tokens_per_frame),
        tokens_per_frame=tokens_per_frame,
    )


def resize(pixels: Pixels, rows: int, columns: int) -> Pixels:
    """uint8 [T, H, W, 3] to [T, rows, columns, 3] with PIL's bicubic filter."""
    if pixels.shape[1:3] == (rows, columns):
        return pixels
    size = (columns, rows)
    return np.stack([np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BICUBIC)) for p in pixels])


def patchify(pixels: Pixels) -> torch.Tensor:
    """uint8 [T, H, W, 3] to float32 [T*gh*gw, 3*PATCH**2]; patches of a merged token lie together."""
    count, rows, columns, _ = pixels.shape
    high, wide = rows // PATCH, columns // PATCH
    x = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float()
    x = x.div_(255).sub_(0.5).div_(0.5)
    x = x.view(count, 3, high // MERGE, MERGE, PATCH, wide // MERGE, MERGE, PATCH)
    return x.permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(count * high * wide, 3 * PATCH * PATCH)


def compression_mask(pixels: torch.Tensor, count: int, tokens_per_frame: int) -> torch.Tensor:
    """bool [T * tokens_per_frame]: tokens that differ from the same place one frame earlier.

    The first frame is kept whole, and every frame keeps at least one token.
    """
    keep = torch.ones(count, tokens_per_frame, dtype=torch.bool)
    if count > 1:
        tokens = pixels.view(count, tokens_per_frame, -1)
        moved = (tokens[1:] - tokens[:-1]).abs().mean(-1) * 255
        keep[1:] = moved > MASK_THRESHOLD
        keep[~keep.any(1), :1] = True
    return keep.flatten()
