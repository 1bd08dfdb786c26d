"""Clips as training needs them, read once and kept while memory allows."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from model_assist.crashchat.engine import ClipReader
from model_assist.crashchat.prefix import encode_clip
from model_assist.crashchat.preprocess import ClipInputs, preprocess
from model_assist.crashchat.prompts import prefix_text
from model_assist.crashchat.settings import EngineSettings
from model_assist.training.answer_loss import TrainingClip, tokenize
from model_assist.training.examples import ClipExamples


class ClipStore:
    """Prepares clips for `AnswerLoss`.

    frozen: the vision tower does not train, so its features are computed once per clip and cached; otherwise
    the inputs are cached and the tower runs in every step.  cache_mb bounds the cache, least recently used out.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        reader: ClipReader,
        settings: EngineSettings,
        *,
        frozen: bool,
        device: torch.device,
        cache_mb: int = 2048,
    ) -> None:
        self.network, self.tokenizer, self.reader, self.settings = network, tokenizer, reader, settings
        self.frozen, self.device = frozen, device
        self._capacity = cache_mb * 2**20
        self._held = 0
        self._cache: OrderedDict[Path, tuple[torch.Tensor | ClipInputs, list[int]]] = OrderedDict()

    def prepare(self, group: ClipExamples) -> TrainingClip:
        """Raises FrameReadError or FileNotFoundError for clips that cannot be read."""
        visual, ids = self._visual(group.video)
        suffixes, answers = tokenize(self.tokenizer, group.examples)
        if isinstance(visual, torch.Tensor):
            visual = visual.to(self.device)
        return TrainingClip(visual, torch.tensor([ids], device=self.device), suffixes, answers)

    def _visual(self, video: Path) -> tuple[torch.Tensor | ClipInputs, list[int]]:
        if video in self._cache:
            self._cache.move_to_end(video)
            return self._cache[video]
        limits = self.settings
        frames = self.reader.read(
            video, fps=limits.fps, max_frames=limits.max_frames, max_tokens=limits.max_tokens
        )
        dtype = next(self.network.model.vision_model.parameters()).dtype
        inputs = preprocess(frames, max_tokens=limits.max_tokens, mask_dtype=dtype)
        text = prefix_text(frames.times_us, inputs.token_counts)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        visual: torch.Tensor | ClipInputs = inputs
        if self.frozen:
            with torch.no_grad():
                visual = encode_clip(self.network, inputs).cpu()
        entry = (visual, ids)
        self._cache[video] = entry
        self._held += _size(visual)
        while self._held > self._capacity and len(self._cache) > 1:
            _, (oldest, _) = self._cache.popitem(last=False)
            self._held -= _size(oldest)
        return entry


def _size(visual: torch.Tensor | ClipInputs) -> int:
    tensor = visual if isinstance(visual, torch.Tensor) else visual.pixels
    return tensor.numel() * tensor.element_size()
