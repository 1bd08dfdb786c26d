"""The training step: cross entropy of the answers about one clip, computed over one shared prefix.

Logits exist only where answers are predicted; the thousands of frame positions never meet the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model_assist.crashchat.prefix import branch, embed_prefix, encode_clip, extend, left_pad, prefill
from model_assist.crashchat.preprocess import ClipInputs
from model_assist.crashchat.prompts import TURN_END, suffix_text
from model_assist.training.examples import Example


@dataclass(frozen=True)
class TrainingClip:
    """One clip with its questions, as tokens.

    visual: features [kept, vision] when the vision tower is frozen, otherwise the clip's inputs.
    prefix_ids: int64 [1, P].  suffixes and answers: token lists, one pair per example; each answer ends
    with the end-of-turn token.
    """

    visual: torch.Tensor | ClipInputs
    prefix_ids: torch.Tensor
    suffixes: list[list[int]]
    answers: list[list[int]]


def tokenize(tokenizer: Any, examples: Sequence[Example]) -> tuple[list[list[int]], list[list[int]]]:
    """Suffix and answer tokens of examples; only the answer and its end-of-turn token are learnt."""
    suffixes = [tokenizer.encode(suffix_text(e.prompt), add_special_tokens=False) for e in examples]
    answers = [tokenizer.encode(e.answer + TURN_END, add_special_tokens=False) for e in examples]
    return suffixes, answers


class AnswerLoss(nn.Module):
    """Wraps the model so that `accelerate` can prepare the whole step as one module.

    shared: prefill the prefix once and let all questions continue from it (with gradients).  Off, each
    question runs jointly with its own prefix, which gradient checkpointing needs; the loss is the same.
    """

    def __init__(self, model: nn.Module, pad_id: int, *, shared: bool = True) -> None:
        super().__init__()
        self.model = model
        self.pad_id = pad_id
        self.shared = shared

    @property
    def network(self) -> Any:
        """The network inside the optional PEFT wrapper."""
        inner = getattr(self.model, "get_base_model", None)
        return inner() if inner else self.model

    def forward(self, clip: TrainingClip) -> torch.Tensor:
        """Mean over the clip's answers of each answer's mean cross entropy (nats); a scalar.

        Every answer weighs the same, as when each is a batch of its own: averaging over all tokens instead would
        let the long paragraphs drown the one word of recognition.
        """
        network = self.network
        if isinstance(clip.visual, ClipInputs):
            features = encode_clip(network, clip.visual)
        else:
            features = clip.visual
        hidden = self._shared(clip, features) if self.shared else self._joint(clip, features)
        targets = torch.tensor([t for a in clip.answers for t in a], device=hidden.device)
        shares = [1 / len(a) / len(clip.answers) for a in clip.answers for _ in a]
        losses = nn.functional.cross_entropy(network.lm_head(hidden).float(), targets, reduction="none")
        return (losses * torch.tensor(shares, device=losses.device)).sum()

    def _shared(self, clip: TrainingClip, features: torch.Tensor) -> torch.Tensor:
        """Hidden states [answer tokens, hidden] that predict the answers, by the cached prefix."""
        prefix = prefill(self.network, clip.prefix_ids, features)
        rows = [s + a for s, a in zip(clip.suffixes, clip.answers, strict=True)]
        ids, mask = left_pad(rows, self.pad_id, clip.prefix_ids.device)
        mask = torch.cat([mask.new_ones(len(rows), prefix.length), mask], 1)
        hidden = extend(self.network, branch(prefix, len(rows)), ids, mask)
        return torch.cat([hidden[i, -len(a) - 1 : -1] for i, a in enumerate(clip.answers)])

    def _joint(self, clip: TrainingClip, features: torch.Tensor) -> torch.Tensor:
        """The same, one full sequence per question."""
        core = self.network.model
        prefix = embed_prefix(self.network, clip.prefix_ids, features)
        found = []
        for suffix, answer in zip(clip.suffixes, clip.answers, strict=True):
            ids = torch.tensor([suffix + answer], device=clip.prefix_ids.device)
            embeddings = torch.cat([prefix, core.get_input_embeddings()(ids)], 1)
            hidden = core.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
            found.append(hidden[0, -len(answer) - 1 : -1])
        return torch.cat(found)
