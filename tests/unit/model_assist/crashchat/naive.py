"""The plain way, as the yardstick: transformers' own generate() with pixels, one call per question.

Nothing of the engine's shared work is used: every call sees the joint prompt and all frames, runs the vision
tower again and computes with the network's own attention.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_assist.crashchat.frames import Frames
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.preprocess import ClipInputs, preprocess
from model_assist.crashchat.prompts import prefix_text, suffix_text


@dataclass(frozen=True)
class Plain:
    """An answer by generate(): its tokens (the end-of-turn token included), their log-probabilities, and the
    smallest distance between the best and the second best logit on the way."""

    tokens: list[int]
    logprobs: list[float]
    margin: float


@torch.inference_mode()
def generate(
    loaded: LoadedModel, inputs: ClipInputs, times_us: list[int], question: str, limit: int, adapter: str = ""
) -> Plain:
    """Ask one question about one clip."""
    if adapter:
        loaded.use(adapter)
    text = prefix_text(times_us, inputs.token_counts) + suffix_text(question)
    ids = torch.tensor([loaded.tokenizer.encode(text, add_special_tokens=False)], device=loaded.device)
    output = loaded.network.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values_videos=inputs.pixels.to(loaded.device, loaded.dtype),
        video_grid_thw=inputs.grid.to(loaded.device),
        video_merge_sizes=inputs.merge.to(loaded.device),
        video_compression_mask=inputs.keep.to(loaded.device),
        max_new_tokens=limit,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    new = output.sequences[0, ids.shape[1] :].tolist()
    steps = [step[0].float() for step in output.logits]
    best = [step.topk(2).values for step in steps]
    return Plain(
        new,
        [torch.log_softmax(step, -1)[t].item() for step, t in zip(steps, new, strict=True)],
        min(float(two[0] - two[1]) for two in best),
    )


def inputs_of(frames: Frames, max_tokens: int = 320) -> ClipInputs:
    """What the vision tower sees of some frames."""
    return preprocess(frames, max_tokens=max_tokens)


def picture_frames(count: int, *, seed: int, width: int = 112, height: int = 56) -> Frames:
    """Made-up frames: coloured blocks, some of which move, so that token compression drops some tokens."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, 255, (height // 28, width // 28, 3), dtype=np.uint8)
    pixels = np.repeat(ground.repeat(28, 0).repeat(28, 1)[None], count, 0).copy()
    for number in range(count):
        left = (number * 17 + seed * 5) % (width - 20)
        pixels[number, 10:40, left : left + 20] = random.integers(0, 255, 3, dtype=np.uint8)
    return Frames(
        pixels=pixels,
        times_us=[i * 100_000 for i in range(count)],
        source_indices=list(range(count)),
        source_pts_us=[i * 100_000 for i in range(count)],
        duration_us=count * 100_000,
        width=width,
        height=height,
        reader="made up",
        fps=10,
    )


class PictureReader:
    """Gives frames by name, as a reader would; an exception in place of frames is raised."""

    def __init__(self, frames: dict[str, Frames | Exception]) -> None:
        self.frames = frames
        self.begun: list[str] = []

    def begin(self, path: str | Path, **options: Any) -> "PicturePending":
        self.begun.append(str(path))
        return PicturePending(self.frames[str(path)])


@dataclass
class PicturePending:
    found: Frames | Exception
    cancelled: bool = False

    def result(self) -> Frames:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def cancel(self) -> None:
        self.cancelled = True
