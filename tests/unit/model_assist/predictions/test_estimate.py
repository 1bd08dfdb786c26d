"""The dry run: it counts, it measures or says that it does not know, and it writes nothing."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from annotations.cases.models import CaseStatus
from model_assist.predictions import estimate as module
from model_assist.predictions.choosing import wish
from model_assist.predictions.estimate import Estimate, estimate
from model_assist.predictions.models import CasePrediction, PredictionRun
from model_assist.registry.models import ModelVersion
from tests import factories
from tests.unit.model_assist.predictions.test_memory import TEXT, write_weights

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "somebody_listens", lambda: True)


def of(run: PredictionRun, **asked: object) -> Estimate:
    return estimate(wish(corpus=run.corpus, guideline=run.guideline, **asked))  # type: ignore[arg-type]


def codes(found: Estimate) -> list[str]:
    return [warning.code for warning in found.warnings]


def test_unmeasured_it_says_so_and_offers_a_trial() -> None:
    run = factories.make_prediction_run(cases=3)
    found = of(run)
    assert (found.durations, found.trial, found.choice.to_do) == ([], 3, 3)
    assert codes(found) == ["in_another_run"]
    assert PredictionRun.objects.count() == 1


def test_measured_it_multiplies_what_earlier_runs_took() -> None:
    run = factories.make_prediction_run(cases=8, done=5)
    began = timezone.now() - timedelta(hours=1)
    for number, row in enumerate(CasePrediction.objects.filter(predicted_at__isnull=False).order_by("id")):
        when = began + timedelta(seconds=12 * number)
        CasePrediction.objects.filter(pk=row.pk).update(predicted_at=when, device="cpu")
    (one,) = of(run).durations
    assert (one.pace.device, one.pace.seconds_per_clip, one.pace.clips, one.seconds) == ("cpu", 12.0, 4, 36.0)
    assert of(run).trial == 0


def test_memory_by_the_models_own_files(tmp_path: Path) -> None:
    write_weights(tmp_path / "base" / "model.safetensors", [1000])
    (tmp_path / "base" / "config.json").write_text(json.dumps({"text_config": TEXT}))
    version = factories.make_model_version("here", base=str(tmp_path / "base"))
    run = factories.make_prediction_run(cases=1)
    found = of(run, model_version=version)
    assert [(m.dtype, m.weights) for m in found.memory] == [("bfloat16", 2000), ("float32", 4000)]
    assert found.memory_unknown == ""
    (tmp_path / "base" / "config.json").unlink()
    assert "config.json cannot be read here" in of(run, model_version=version).memory_unknown


def test_a_model_of_another_machine_is_said_to_be_unknown() -> None:
    found = of(factories.make_prediction_run(cases=1))
    assert (found.memory, found.memory_unknown) == ([], "the model's files are not on this machine: hub/none")


def test_what_is_left_out_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    run = factories.make_prediction_run(cases=1, done=1)
    assert codes(of(run)) == ["all_answered"]
    factories.make_case(CaseStatus.EXCLUDED, video=factories.make_video(run.corpus))
    factories.make_case(video=factories.make_video(run.corpus, media=None))
    monkeypatch.setattr(module, "somebody_listens", lambda: False)
    found = of(run, kinds=["crash_localization"], again=True)
    assert codes(found) == ["without_clip", "excluded", "recognition_added", "again", "no_worker"]
    assert codes(of(run, filters={"source": "nowhere"})) == ["no_case"]
    assert codes(of(run, filters={"status": ["excluded"]})) == ["none_usable", "excluded"]


def test_cases_of_other_models_runs_are_not_warned_of() -> None:
    run = factories.make_prediction_run(cases=2)
    other: ModelVersion = factories.make_model_version("other")
    assert codes(of(run, model_version=other)) == []
