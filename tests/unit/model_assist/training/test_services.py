"""Starting training runs, writing their files and registering what they made."""

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from annotations.cases.kinds import Kind
from annotations.cases.models import CaseStatus
from annotations.cases.rules import Said
from annotations.datasets.models import DatasetVersion
from annotations.datasets.services import freeze
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from model_assist.crashchat.parsing import parse_answer
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import settings_of
from model_assist.training import services
from model_assist.training.examples import read_examples
from model_assist.training.models import TrainingRun
from model_assist.training.run_config import RunConfig
from tests.factories import (
    CRASH,
    make_case,
    make_corpus,
    make_guideline,
    make_media,
    make_model_version,
    make_video,
)

pytestmark = pytest.mark.django_db

SPAN_TO_THE_END = {
    **CRASH,
    Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": 8_960_000, "end_us": 9_980_000}),
}


@pytest.fixture(autouse=True)
def home(settings: Settings, tmp_path: Path) -> None:
    settings.HOME = tmp_path / "home"


@pytest.fixture
def model(db: None) -> ModelVersion:
    return make_model_version("tiny")


@pytest.fixture
def dataset(db: None, lead: User, media_root: Path) -> DatasetVersion:
    """One approved crash case whose crash lasts to the end of its 9.98 s clip."""
    corpus, guideline = make_corpus(), make_guideline()
    media = make_media(duration_us=9_980_000)
    video = make_video(corpus, media=media)
    stored = media_root / media.storage_name
    stored.parent.mkdir(parents=True)
    stored.write_bytes(b"clip")
    make_case(CaseStatus.APPROVED, said=SPAN_TO_THE_END, video=video, guideline=guideline, lead=lead)
    return freeze(corpus=corpus, guideline=guideline, val_share=0, test_share=0, by=None)


def make_run(dataset: DatasetVersion, model: ModelVersion, **params: Any) -> TrainingRun:
    return TrainingRun.objects.create(dataset_version=dataset, start_from=model, params=params)


def finish(run: TrainingRun, *names: str) -> Path:
    """Write the run's configuration, and adapter folders as fine-tuning would."""
    services.prepare(run)
    adapters = services.folder_of(run) / "output" / "adapters"
    for name in names:
        (adapters / name).mkdir(parents=True)
        (adapters / name / "adapter_model.safetensors").write_bytes(name.encode())
    return adapters


def test_only_the_adapters_of_the_configuration_are_registered(
    dataset: DatasetVersion, model: ModelVersion
) -> None:
    run = make_run(dataset, model)
    adapters = finish(run, "linguistic", "perception", ".linguistic.41.new", "older")
    version = services.register_result(run)
    assert version.adapters == {name: str(adapters / name) for name in ("linguistic", "perception")}
    assert services.register_result(run) == version


def test_a_missing_adapter_is_not_registered(dataset: DatasetVersion, model: ModelVersion) -> None:
    run = make_run(dataset, model)
    finish(run, "linguistic")
    with pytest.raises(Problem, match="perception"):
        services.register_result(run)


def test_a_model_is_registered_with_the_settings_it_was_trained_with(
    dataset: DatasetVersion, model: ModelVersion
) -> None:
    run = make_run(dataset, model, fps=4.0, max_frames=12, max_tokens=None)
    finish(run, "linguistic", "perception")
    config = RunConfig.from_file(services.folder_of(run) / "config.json")
    stored, parent = settings_of(services.register_result(run)), settings_of(model)
    assert (stored.fps, stored.max_frames, stored.max_tokens) == (4.0, 12, parent.max_tokens)
    assert (config.fps, config.max_frames, config.max_tokens) == (4.0, 12, parent.max_tokens)
    assert stored.max_new_tokens == parent.max_new_tokens


def test_training_targets_lie_inside_the_clip(dataset: DatasetVersion, model: ModelVersion) -> None:
    config = json.loads(services.prepare(make_run(dataset, model)).read_text())
    examples = {e.kind: e for e in read_examples(Path(config["examples"]))}
    span = examples[Kind.CRASH_LOCALIZATION]
    assert span.answer == "9.0 - 9.9 seconds"
    assert parse_answer(span.kind, span.answer, duration_us=span.duration_us).state == "valued"


@pytest.mark.parametrize("params", [{"fps": -1}, {"steps": 1.5}, {"seed": "q"}, {"colour": "red"}])
def test_impossible_parameters_are_refused_by_name(
    dataset: DatasetVersion, model: ModelVersion, params: dict[str, Any]
) -> None:
    with pytest.raises(Problem) as caught:
        services.start_training(dataset_version=dataset, by=None, params=params)
    assert caught.value.status == 400
    assert next(iter(params)) in str(caught.value.fields)
    assert not TrainingRun.objects.exists()
