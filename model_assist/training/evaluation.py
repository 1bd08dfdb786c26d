"""A model version's scores on one split of a dataset version."""

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from annotations.datasets.models import DatasetRecord, DatasetVersion
from crashdesk.api.errors import Problem
from model_assist.crashchat.answers import ClipAnswers, ClipRequest
from model_assist.crashchat.engine import Engine
from model_assist.crashchat.errors import CrashChatError
from model_assist.crashchat.kinds import ALL, LINGUISTIC
from model_assist.training import metrics
from model_assist.training.services import clip_path

Step = Callable[[int, int], None]

RESAMPLES: Final = 1000
SEED: Final = 0


class Answering(Protocol):
    """`Engine.answer_many`: (position, answers or why there are none) of every request."""

    def __call__(
        self, requests: Iterable[ClipRequest], /
    ) -> Iterator[tuple[int, ClipAnswers | CrashChatError]]: ...


def evaluate(engine: Engine, version: DatasetVersion, split: str, *, step: Step) -> dict[str, Any]:
    """Answer every clip of the split and score the answers against the approved ones, by kind.

    As in CrashChat's evaluation the two localisation questions are asked of the clips with a crash, whatever
    recognition says of them. Raises Problem when the split has no clip at all; whatever `step(done, total)` raises
    ends the evaluation.
    """
    open_gate = Engine(
        engine.loaded,
        settings=dataclasses.replace(engine.settings, gate_localisation=False),
        frame_reader=engine.frame_reader,
        features=engine.feature_store,
    )
    return evaluate_with(open_gate.answer_many, version, split, step=step)


def evaluate_with(answer: Answering, version: DatasetVersion, split: str, *, step: Step) -> dict[str, Any]:
    """`evaluate` with anything that answers clips. Scores as `metrics.evaluate` gives them, with bootstrap intervals
    that draw whole recordings, and results within each source.

    `clips`: how many were asked about, and those that could not be answered, with the reason; they are in no score.
    """
    rows = [row for row in version.records.filter(split=split).order_by("id") if row.content["sha256"]]
    if not rows:
        raise Problem("nothing_to_evaluate", f"No record of {version}'s {split} split has a clip.")
    prompts = dict(version.guideline.prompts.values_list("kind", "text"))
    answered: dict[int, metrics.Record] = {}
    unreadable: dict[int, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        requests = (_request(row, Path(folder), prompts) for row in rows)
        for done, (place, outcome) in enumerate(answer(requests), 1):
            if isinstance(outcome, CrashChatError):
                unreadable[place] = f"{rows[place].content['video']}: {outcome}"
            else:
                answered[place] = _pairs(rows[place], outcome)
            step(done, len(rows))
    return {
        **_scores([rows[place] for place in sorted(answered)], [answered[p] for p in sorted(answered)]),
        "clips": {"asked": len(answered), "unreadable": [unreadable[place] for place in sorted(unreadable)]},
    }


def _scores(rows: Sequence[DatasetRecord], records: Sequence[metrics.Record]) -> dict[str, Any]:
    """A clip without a recording is one of its own; without a source it belongs to its corpus."""
    return metrics.evaluate(
        records,
        sources=[row.content["source"] or row.content["corpus"] for row in rows],
        recordings=[row.content["recording"] or row.content["video"] for row in rows],
        bootstrap=metrics.Bootstrap(resamples=RESAMPLES, seed=SEED),
        bertscore=metrics.BertScorer.from_environment(),
    )


def _request(row: DatasetRecord, folder: Path, prompts: dict[str, str]) -> ClipRequest:
    crash = row.content["answers"]["crash_recognition"]["value"] == {"label": "yes"}
    path = clip_path(row.content["sha256"], folder)
    return ClipRequest(path, prompts, kinds=ALL if crash else LINGUISTIC)


def _pairs(row: DatasetRecord, said: ClipAnswers) -> metrics.Record:
    truth = row.content["answers"]
    return {
        kind: metrics.Pair(
            truth[kind]["state"], truth[kind]["value"], answer.state, answer.value, raw=answer.raw_text
        )
        for kind, answer in said.answers.items()
    }
