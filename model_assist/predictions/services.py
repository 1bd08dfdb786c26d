"""Starting, watching and cancelling prediction runs, and writing what the engine said."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.db import transaction
from django.db.models import Count, F
from django.utils import timezone

from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus, Guideline
from annotations.cases.rules import Said
from annotations.cases.services import ModelProvenance, add_model_answer
from annotations.cases.workflow import move
from annotations.corpora.models import Corpus, MediaState
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import cancel_group, enqueue_many
from model_assist.crashchat.answers import ClipAnswers
from model_assist.predictions.models import CasePrediction, PredictionRun
from model_assist.registry.models import ModelVersion
from model_assist.registry.services import in_use

# These wait for a draft; cases further on get new answers too, but stay where they are.
WAITING = [CaseStatus.READY, CaseStatus.PREDICTED]


@transaction.atomic
def start_run(
    *,
    corpus: Corpus,
    guideline: Guideline,
    by: User | None,
    model_version: ModelVersion | None = None,
    case_ids: Sequence[int] | None = None,
) -> PredictionRun:
    """Predict all usable cases of a corpus under a guideline (or just the given ones), one job per case.

    The model is the one in use unless another is named. Raises Problem when there is nothing to predict.
    """
    cases = Case.objects.filter(
        corpus=corpus, guideline=guideline, video__media__state=MediaState.READY
    ).exclude(status__in=[CaseStatus.NEW, CaseStatus.EXCLUDED])
    if case_ids is not None:
        cases = cases.filter(pk__in=case_ids)
    ids = list(cases.order_by(F("review_rank").asc(nulls_last=True), "id").values_list("pk", flat=True))
    if not ids:
        raise Problem("nothing_to_predict", f"No case of {corpus} is ready for the model.")
    run = PredictionRun.objects.create(
        corpus=corpus, guideline=guideline, model_version=model_version or in_use(), created_by=by
    )
    rows = CasePrediction.objects.bulk_create(
        [CasePrediction(run=run, case_id=case_id) for case_id in ids], batch_size=1000
    )
    enqueue_many("predict_case", [{"case_prediction": row.pk} for row in rows], by=by, group=run.group)
    data = {"cases": len(ids), "model_version": run.model_version.name}
    record(actor=by, verb="prediction_run.started", subject=run, data=data)
    return run


def progress_of(run: PredictionRun) -> dict[str, int]:
    """Number of the run's cases by job state, and in total."""
    rows = Job.objects.filter(group=run.group).order_by().values("state").annotate(n=Count("id"))
    counts = {state: 0 for state in JobState.values} | {row["state"]: row["n"] for row in rows}
    return counts | {"total": sum(counts.values())}


def cancel_run(*, run: PredictionRun, by: User | None) -> int:
    """Stop a run: waiting cases at once, the one in work before its answers are written. Returns how many."""
    return cancel_group(run.group, by=by)


@transaction.atomic
def begin(case_id: int) -> None:
    """Claim a waiting case for the model; one claimed already, by a killed worker or another run, is left."""
    case = Case.objects.select_for_update().get(pk=case_id)
    if case.status in WAITING:
        move(case, CaseStatus.PREDICTING, by=None)


@transaction.atomic
def give_back(prediction: CasePrediction) -> None:
    """Undo `begin`: to predicted when an earlier model has spoken, else to ready; not while another run is at it."""
    case = Case.objects.select_for_update().get(pk=prediction.case_id)
    if case.status != CaseStatus.PREDICTING:
        return
    others = CasePrediction.objects.filter(case=case, predicted_at=None).exclude(pk=prediction.pk)
    at_work = Job.objects.filter(
        kind="predict_case", state=JobState.RUNNING,
        args__case_prediction__in=list(others.values_list("pk", flat=True)),
    )  # fmt: skip
    if at_work.exists():
        return
    spoken = Answer.objects.filter(case=case, author_kind=AuthorKind.MODEL).exists()
    move(case, CaseStatus.PREDICTED if spoken else CaseStatus.READY, by=None)


@transaction.atomic
def write(*, prediction: CasePrediction, said: ClipAnswers) -> int:
    """Write the six answers of a clip, all or none, once; returns how many were new."""
    case = Case.objects.select_for_update().get(pk=prediction.case_id)
    version = prediction.run.model_version
    frames: dict[str, Any] = asdict(said.frames)
    new = 0
    for kind, answer in said.answers.items():
        _, written = add_model_answer(
            case=case,
            kind=kind,
            said=Said(answer.state, answer.value),
            reason=answer.reason,
            provenance=ModelProvenance(
                model_version=version.name,
                adapter=answer.adapter,
                prompt_version=answer.prompt_version,
                raw_text=answer.raw_text,
                confidence=answer.confidence,
                confidence_detail=answer.confidence_detail,
                frames=frames,
            ),
        )
        new += written
    if case.status == CaseStatus.READY:  # another run that was cancelled gave it back meanwhile
        move(case, CaseStatus.PREDICTING, by=None)
    if case.status == CaseStatus.PREDICTING:
        move(case, CaseStatus.PREDICTED, by=None)
    CasePrediction.objects.filter(pk=prediction.pk).update(
        predicted_at=timezone.now(), seconds=sum(said.timings.values())
    )
    return new
