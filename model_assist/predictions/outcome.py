"""What a case goes through in the GPU worker: claimed for the model, given back, or its answers written."""

from dataclasses import asdict
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Answer, AuthorKind, Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.services import ModelProvenance, add_model_answer
from annotations.cases.workflow import move
from annotations.corpora.models import VideoFinding
from crashdesk.jobs.models import Job, JobState
from model_assist.crashchat.answers import ClipAnswers
from model_assist.predictions.models import CasePrediction

UNREADABLE: Final = "frames_unreadable"
"""The finding on a video whose frames the model cannot be shown."""

# These wait for a draft; cases further on get new answers too, but stay where they are.
WAITING = [CaseStatus.READY, CaseStatus.PREDICTED]


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
def write(*, prediction: CasePrediction, said: ClipAnswers, device: str = "") -> int:
    """Write the answers about a clip, all or none, once; returns how many were new.

    `device` is what the model ran on, as a person would name it.
    """
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
    VideoFinding.objects.filter(video=case.video_id, code=UNREADABLE).delete()  # it could be read after all
    CasePrediction.objects.filter(pk=prediction.pk).update(
        predicted_at=timezone.now(), seconds=sum(said.timings.values()), device=device[:100]
    )
    return new
