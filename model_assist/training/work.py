"""The training job: fine-tune in a process of its own, register the result, evaluate old and new side by side.

Imported by the GPU worker alone: it loads torch.
"""

from typing import Any

from annotations.datasets.models import DatasetVersion, Split
from crashdesk.jobs.running import Running
from model_assist.predictions.engines import engine_for, release
from model_assist.registry.models import Evaluation, ModelVersion
from model_assist.training import process, services
from model_assist.training.evaluation import evaluate
from model_assist.training.models import TrainingRun
from model_assist.training.run_config import RunConfig


def train(running: Running) -> dict[str, Any]:
    """Take a training run to its end. Started twice, it goes on from its last checkpoint and registers once."""
    run = TrainingRun.objects.select_related("dataset_version", "start_from").get(
        pk=running.job.args["training_run"]
    )
    if run.model_version is None:
        release()  # the weights of the engine and of the training would not share one GPU
        _fine_tune(run, running)
    version = services.register_result(run)
    held_out = held_out_split(run.dataset_version)
    for model in (run.start_from, version):
        _evaluate(model, run.dataset_version, held_out, running)
    return {"model_version": version.pk, "evaluated_on": held_out}


def held_out_split(version: DatasetVersion) -> str:
    """The test split, or where it is empty the validation split, or at last the training split itself.

    The name is stored with every evaluation, so that a score on training data says that it is one.
    """
    filled = set(version.records.values_list("split", flat=True))
    return next(split for split in (Split.TEST, Split.VAL, Split.TRAIN) if split in filled)


def _fine_tune(run: TrainingRun, running: Running) -> None:
    config = services.prepare(run)
    folder = services.folder_of(run)
    adapters = list(RunConfig.from_file(config).adapters)
    lines = process.ProgressFile(folder / "progress.jsonl")
    curve: list[dict[str, Any]] = []

    def follow() -> None:
        fresh = [line for line in lines.new() if "loss" in line]
        curve.extend(
            {"adapter": line["adapter"], "step": line["step"], "loss": line["loss"]} for line in fresh
        )
        if fresh:
            TrainingRun.objects.filter(pk=run.pk).update(loss_curve=curve)
            last = fresh[-1]
            done = adapters.index(last["adapter"]) * last["steps"] + last["step"]
            message = f"{last['adapter']}: loss {last['loss']:.3f}, {last['eta_s']:.0f} s left"
            running.progress(done, len(adapters) * last["steps"], message)
        running.check()

    process.run(config, folder / "train.log", on_tick=follow)
    follow()


def _evaluate(model: ModelVersion, version: DatasetVersion, split: str, running: Running) -> None:
    if Evaluation.objects.filter(model_version=model, dataset_version=version, split=split).exists():
        return

    def step(done: int, total: int) -> None:
        running.progress(done, total, f"evaluating {model.name} on {split}")

    metrics = evaluate(engine_for(model), version, split, step=step)
    Evaluation.objects.get_or_create(
        model_version=model, dataset_version=version, split=split, defaults={"metrics": metrics}
    )
