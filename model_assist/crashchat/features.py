"""What the vision tower made of a clip: the same under every adapter and question, so worth keeping."""

from dataclasses import dataclass
from typing import Protocol

import torch

from model_assist.crashchat.answers import FramesUsed


@dataclass(frozen=True)
class ClipFeatures:
    """All that answering a clip needs once its frames have been seen.

    features: [kept visual tokens, vision hidden size], in the model's dtype, before the projector.
    token_counts: visual tokens kept of each frame, in order; they sum to `kept`.
    """

    features: torch.Tensor
    token_counts: list[int]
    frames: FramesUsed
    duration_us: int


class FeatureStore(Protocol):
    """Keeps clip features by key.  Both methods may be called from another thread than the engine's.

    The key must name everything the features depend on: the video, the vision tower, how frames are sampled and
    sized, and the dtype.  Features are given and returned on the CPU.
    """

    def get(self, key: str) -> ClipFeatures | None:
        """The features put under `key`, or None."""
        ...

    def put(self, key: str, value: ClipFeatures) -> None:
        """Keep `value`; what was there under `key` may be replaced or left."""
        ...
