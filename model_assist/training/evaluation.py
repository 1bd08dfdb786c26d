"""A model version's scores on one split of a dataset version."""

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from annotations.datasets.models import DatasetRecord, DatasetVersion
from crashdesk.api.errors import Problem
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import FrameReadError
from model_assist.crashchat.kinds import ALL, LINGUISTIC
from model_assist.training import metrics
from model_assist.training.services import clip_path

Step = Callable[[int, int], None]


def evaluate(engine: Engine, version: DatasetVersion, split: str, *, step: Step) -> dict[str, Any]:
    """Answer every clip of the split and score the answers against the approved ones, by kind.

    As in CrashChat's evaluation the two localisation questions are asked of the clips with a crash, whatever
    recognition says of them. `clips` counts what was asked and what could not be. Raises Problem when the
    split has no clip at all; whatever `step(done, total)` raises ends the evaluation.
    """
    rows = [row for row in version.records.filter(split=split).order_by("id") if row.content["sha256"]]
    if not rows:
        raise Problem("nothing_to_evaluate", f"No record of {version}'s {split} split has a clip.")
    prompts = dict(version.guideline.prompts.values_list("kind", "text"))
    open_gate = Engine(
        engine.loaded,
        settings=dataclasses.replace(engine.settings, gate_localisation=False),
        frame_reader=engine.frame_reader,
    )
    records: list[metrics.Record] = []
    unreadable: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, row in enumerate(rows, 1):
            try:
                records.append(
                    _pairs(open_gate, row, clip_path(row.content["sha256"], Path(folder)), prompts)
                )
            except FrameReadError as error:
                unreadable.append(f"{row.content['video']}: {error}")
            step(number, len(rows))
    return {**metrics.evaluate(records), "clips": {"asked": len(records), "unreadable": unreadable}}


def _pairs(engine: Engine, row: DatasetRecord, clip: Path, prompts: dict[str, str]) -> metrics.Record:
    truth = row.content["answers"]
    crash = truth["crash_recognition"]["value"] == {"label": "yes"}
    said = engine.answer(clip, prompts, kinds=ALL if crash else LINGUISTIC).answers
    return {
        kind: metrics.Pair(truth[kind]["state"], truth[kind]["value"], answer.state, answer.value)
        for kind, answer in said.items()
    }
