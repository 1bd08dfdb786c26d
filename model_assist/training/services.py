"""Starting training runs, preparing their files and registering what comes out."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotations.corpora.access import require
from annotations.corpora.models import Media
from annotations.datasets.models import DatasetRecord, DatasetVersion, Split
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue
from crashdesk.storage.files import is_local, local_path
from model_assist.crashchat.kinds import ALL
from model_assist.crashchat.parsing import render_target
from model_assist.crashchat.settings import EngineSettings
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import in_use, register, settings_of
from model_assist.training.examples import Example, write_examples
from model_assist.training.models import TrainingRun
from model_assist.training.run_config import ConfigError, RunConfig

# What a request may change; everything else follows from the dataset and the model.
TUNABLE = frozenset({
    "rank", "alpha", "dropout", "lr", "projector_lr", "weight_decay", "warmup_ratio", "max_grad_norm", "epochs",
    "steps", "grad_accumulation", "seed", "fps", "max_frames", "max_tokens", "precision",
    "gradient_checkpointing", "checkpoint_every",
})  # fmt: skip

FRAME_SETTINGS = ("fps", "max_frames", "max_tokens")


@transaction.atomic
def start_training(
    *,
    dataset_version: DatasetVersion,
    by: User | None,
    params: dict[str, Any] | None = None,
    start_from: ModelVersion | None = None,
) -> TrainingRun:
    """Queue LoRA fine-tuning of a model version (the one in use) on the train split of a dataset version.

    `params` overrides CrashChat's hyper-parameters (model_assist/training/run_config.py). Raises Problem for
    unknown or impossible ones, and when the train split is empty.
    """
    require(by, Action.TRAIN, dataset_version.corpus_id)
    params = params or {}
    unknown = sorted(set(params) - TUNABLE)
    if unknown:
        raise Problem(
            "invalid", "Unknown hyper-parameters.", fields={key: ["unknown"] for key in unknown}, status=400
        )
    try:
        RunConfig(base="", examples="", output="", **params)
    except (ConfigError, TypeError) as error:
        raise Problem("invalid", str(error), fields={"params": [str(error)]}, status=400) from error
    if not dataset_version.records.filter(split=Split.TRAIN).exists():
        raise Problem("nothing_to_train_on", f"{dataset_version} has no records in its train split.")
    run = TrainingRun.objects.create(
        dataset_version=dataset_version, start_from=start_from or in_use(), params=params, created_by=by
    )
    group, corpus_id = f"training_run:{run.pk}", dataset_version.corpus_id
    job = enqueue("train", {"training_run": run.pk}, by=by, group=group, corpus_id=corpus_id)
    TrainingRun.objects.filter(pk=run.pk).update(job_id=job.pk)
    run.refresh_from_db()
    record(
        actor=by, verb="training_run.started", subject=run, data={"dataset": str(dataset_version), **params}
    )
    return run


def job_of(run: TrainingRun) -> Job:
    """The job that carries the run's state and progress. Raises Problem when the run was never queued."""
    if run.job_id is None:
        raise Problem("not_queued", f"{run} was never queued.")
    return Job.objects.get(pk=run.job_id)


def folder_of(run: TrainingRun) -> Path:
    """Where the run's configuration, log, checkpoints and adapters lie."""
    return Path(settings.HOME) / "training" / f"run-{run.pk}"


def clip_path(sha256: str, folder: Path) -> Path:
    """The clip as a path that outlives this call: itself in local storage, a copy below `folder` otherwise."""
    name = Media.objects.get(sha256=sha256).storage_name
    with local_path(name) as path:
        if is_local():
            return path
        copy = folder / "clips" / Path(name).name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            partial = copy.with_suffix(".partial")
            partial.write_bytes(path.read_bytes())
            partial.replace(copy)
        return copy


def examples_of(records: list[DatasetRecord], prompts: dict[str, str], folder: Path) -> list[Example]:
    """Six questions per clip; localisation is asked of crash clips only, as in CrashChat's training."""
    examples = []
    for row in records:
        content = row.content
        if not content["sha256"]:
            continue
        video, duration_us = clip_path(content["sha256"], folder), content["duration_us"]
        for kind in ALL:
            answer = content["answers"][kind]
            if answer["state"] == "valued":
                text = render_target(kind, answer["state"], answer["value"], duration_us=duration_us)
                examples.append(Example(video, kind, prompts[kind], text, duration_us))
    return examples


def prepare(run: TrainingRun) -> Path:
    """Write the run's examples and configuration; returns the configuration's path. Safe to repeat."""
    folder = folder_of(run)
    folder.mkdir(parents=True, exist_ok=True)
    version = run.dataset_version
    prompts = dict(version.guideline.prompts.values_list("kind", "text"))
    records = list(version.records.filter(split=Split.TRAIN).order_by("id"))
    examples = examples_of(records, prompts, folder)
    if not examples:
        raise Problem("nothing_to_train_on", f"No record of {version}'s train split has a clip.")
    write_examples(folder / "examples.jsonl", examples)
    parent = run.start_from
    engine = _engine_settings(run)
    given = {**run.params, **{name: getattr(engine, name) for name in FRAME_SETTINGS}}
    config = RunConfig(
        base=parent.base, examples=str(folder / "examples.jsonl"), output=str(folder / "output"),
        start_from=dict(parent.adapters), progress=str(folder / "progress.jsonl"), **given,
    )  # fmt: skip
    wanted = _adapters_of(parent)
    if wanted:
        config = dataclasses.replace(config, adapters=wanted)
    path = folder / "config.json"
    path.write_text(json.dumps(dataclasses.asdict(config), indent=2))
    return path


def _engine_settings(run: TrainingRun) -> EngineSettings:
    """The parent's settings with the run's own frames: a model is asked as it was trained."""
    overrides = {name: run.params[name] for name in FRAME_SETTINGS if run.params.get(name) is not None}
    return dataclasses.replace(settings_of(run.start_from), **overrides)


def _adapters_of(version: ModelVersion) -> dict[str, list[str]]:
    """Adapter name to the kinds routed to it; {} for a bare base (then the default two groups are trained)."""
    groups: dict[str, list[str]] = {}
    for kind in ALL:
        name = version.routing.get(kind)
        if name:
            groups.setdefault(name, []).append(kind)
    return groups


@transaction.atomic
def register_result(run: TrainingRun) -> ModelVersion:
    """Register the adapters that the run's configuration names as a model version, once per run.

    Raises Problem when one of them is missing.
    """
    run = TrainingRun.objects.select_for_update().get(pk=run.pk)
    if run.model_version is not None:
        return run.model_version
    folder = folder_of(run)
    names = sorted(RunConfig.from_file(folder / "config.json").adapters)
    adapters = {name: str(folder / "output" / "adapters" / name) for name in names}
    missing = [path for path in adapters.values() if not Path(path).is_dir()]
    if missing:
        raise Problem("adapter_missing", f"{run} did not write {', '.join(missing)}.")
    parent = run.start_from
    version = register(
        name=f"{parent.name.split('+')[0]}+run{run.pk}", base=parent.base,
        adapters={**parent.adapters, **adapters}, engine_settings=_engine_settings(run),
        by=run.created_by, parent=parent, trained_on=run.dataset_version,
    )  # fmt: skip
    TrainingRun.objects.filter(pk=run.pk).update(model_version=version, finished_at=timezone.now())
    return version
