"""BERTScore, where its model is at hand.

Nothing is downloaded: the model is a folder on this machine. Without one, or without the optional package, the score
is reported as not computed, never as zero.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SETTING: Final = "CRASHDESK_BERTSCORE_MODEL"
LAYERS: Final = {"roberta-large": 17}
"""Which layer's output the published English score uses (Zhang et al. 2020): 17 of roberta-large."""

Words = Sequence[tuple[str, str]]


def not_computed(why: str = "") -> dict[str, Any]:
    """What stands in the place of a score that was not computed."""
    return {"computed": False, "why": why or f"no model given ({SETTING} or --bertscore-model)"}


@dataclass
class BertScorer:
    """Scores texts with the encoder in a local folder.

    layer: whose output is compared, counted from 1; published numbers use 17 of roberta-large, which is what a
    folder of that name gets. batch: texts at a time.
    """

    model: Path
    layer: int | None = None
    batch: int = 64
    _known: dict[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict, repr=False)

    @classmethod
    def from_environment(cls) -> "BertScorer | None":
        """The scorer that CRASHDESK_BERTSCORE_MODEL names, or None."""
        folder = os.environ.get(SETTING, "")
        return cls(Path(folder)) if folder else None

    def scores(self, pairs: Words) -> dict[str, Any]:
        """Mean precision, recall and F1 of (reference, prediction) texts, or why they were not computed.

        Empty predictions score 0, as the package has it.
        """
        problem = self._problem()
        if problem or not pairs:
            return not_computed(problem or "no texts")
        self._add({pair for pair in pairs if all(map(str.strip, pair))} - self._known.keys())
        rows = [self._known.get(pair, (0.0, 0.0, 0.0)) for pair in pairs]
        precision, recall, f1 = (sum(column) / len(rows) for column in zip(*rows, strict=True))
        return {
            "computed": True,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "model": self.model.name,
            "layer": self._layer(),
        }

    def _problem(self) -> str:
        if importlib.util.find_spec("bert_score") is None:
            return "the package bert-score is not installed"
        if not (self.model / "config.json").is_file():
            return f"{self.model} holds no model (config.json is missing)"
        if self._layer() is None:
            return f"which layer of {self.model.name} to use is not known; give it"
        return ""

    def _layer(self) -> int | None:
        return self.layer or LAYERS.get(self.model.name)

    def _add(self, fresh: set[tuple[str, str]]) -> None:
        """Each distinct pair is scored once: the answers come from a nearly closed list."""
        if not fresh:
            return
        from bert_score import score  # loads torch and more: only where a model is at hand

        order = sorted(fresh)
        found = score(
            [said for _, said in order], [true for true, _ in order], model_type=str(self.model),
            num_layers=self._layer(), batch_size=self.batch,
        )  # fmt: skip
        for pair, precision, recall, f1 in zip(order, *(part.tolist() for part in found), strict=True):
            self._known[pair] = (precision, recall, f1)
