import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from model_assist.crashchat import kinds as k
from model_assist.training.metrics import BertScorer, evaluate
from model_assist.training.metrics import bertscore as module
from tests.unit.model_assist.training.metrics.made import text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "roberta-large"
    made.mkdir()
    (made / "config.json").write_text("{}")
    return made


class Package(ModuleType):
    """In the place of bert-score: remembers what it is asked, scores by length."""

    def __init__(self) -> None:
        super().__init__("bert_score")
        self.calls: list[tuple[list[str], list[str], dict[str, object]]] = []

    def score(self, said: list[str], true: list[str], **options: object) -> tuple[np.ndarray, ...]:
        self.calls.append((said, true, options))
        return tuple(np.array([part * len(words) / 100 for words in said]) for part in (1.0, 2.0, 3.0))


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Package:
    made = Package()
    monkeypatch.setitem(sys.modules, "bert_score", made)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: made)
    return made


def test_without_a_model_it_is_not_computed_and_never_zero() -> None:
    found = evaluate([text("a", "a")])[k.CRASH_DESCRIPTION]
    for shown in (found["bertscore"], found["published"]["bertscore"]):
        assert shown["computed"] is False
        assert "no model given" in shown["why"]
        assert not {"f1", "precision", "recall"} & shown.keys()


def test_without_the_package_it_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    assert BertScorer(folder).scores([("a", "a")]) == {
        "computed": False,
        "why": "the package bert-score is not installed",
    }


def test_a_folder_without_a_model_is_named(package: Package, tmp_path: Path) -> None:
    assert str(tmp_path / "gone") in BertScorer(tmp_path / "gone").scores([("a", "a")])["why"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    assert "which layer" in BertScorer(other).scores([("a", "a")])["why"]
    assert BertScorer(other, layer=3).scores([("a", "a")])["layer"] == 3
    assert BertScorer(other, layer=3).scores([])["computed"] is False


def test_each_distinct_pair_is_scored_once_with_the_published_layer(package: Package, folder: Path) -> None:
    scorer = BertScorer(folder)
    found = scorer.scores([("ab", "ab"), ("ab", "ab"), ("ab", "abcd"), ("ab", "")])
    ((said, true, options),) = package.calls
    assert (said, true) == (["ab", "abcd"], ["ab", "ab"])
    assert (options["model_type"], options["num_layers"]) == (str(folder), 17)
    # lengths 2, 2, 4 and an empty one: mean 8 / 4 hundredths
    assert [found[n] for n in ("precision", "recall", "f1")] == pytest.approx([0.02, 0.04, 0.06])
    scorer.scores([("ab", "ab")])
    assert len(package.calls) == 1


def test_published_scores_leave_empty_predictions_out(package: Package, folder: Path) -> None:
    found = evaluate([text("ab", "ab"), text("ab", None)], bertscore=BertScorer(folder))[k.CRASH_DESCRIPTION]
    assert found["bertscore"]["precision"] == pytest.approx(0.01)
    assert found["published"]["bertscore"]["precision"] == pytest.approx(0.02)


def test_the_environment_names_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.SETTING, raising=False)
    assert BertScorer.from_environment() is None
    monkeypatch.setenv(module.SETTING, "/models/roberta-large")
    assert BertScorer.from_environment() == BertScorer(Path("/models/roberta-large"))
