"""The cases of a run one by one: how each ended, after how many tries, and what went wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import QuerySet

from annotations.cases.models import Case
from crashdesk.jobs.models import Job, JobState
from model_assist.predictions.control import jobs_of
from model_assist.predictions.models import CasePrediction, PredictionRun

SET_ASIDE: Final = "set_aside"
STATES: Final = [*JobState.values, SET_ASIDE]
SUMMARY: Final = 300


@dataclass(frozen=True)
class RunCase:
    """One case of a run. `state` is its job's; `set_aside`: it failed as often as a case may, and is not tried again
    by itself. `error` is one line, `traceback` all that was recorded. `seconds`: time the engine took."""

    case: Case
    job: int
    state: str
    set_aside: bool
    attempts: int
    cancel_requested: bool
    seconds: float | None
    device: str
    predicted_at: datetime | None
    finished_at: datetime | None
    error: str
    traceback: str


def jobs_in(run: PredictionRun, state: str = "") -> QuerySet[Job]:
    """The run's jobs in one of STATES ('' for all), in the order in which they are worked on."""
    jobs = jobs_of(run).order_by("id")
    if state == SET_ASIDE:
        return jobs.filter(state=JobState.FAILED, attempts__gte=settings.JOB_MAX_ATTEMPTS)
    return jobs.filter(state=state) if state else jobs


def rows_of(jobs: Sequence[Job]) -> list[RunCase]:
    """What is known of these jobs' cases, in one more query however many they are."""
    predictions = CasePrediction.objects.select_related("case__video").in_bulk(
        [job.args["case_prediction"] for job in jobs]
    )
    return [_row(job, predictions[job.args["case_prediction"]]) for job in jobs]


def _row(job: Job, prediction: CasePrediction) -> RunCase:
    return RunCase(
        case=prediction.case, job=job.pk, state=job.state, attempts=job.attempts,
        set_aside=job.state == JobState.FAILED and job.attempts >= settings.JOB_MAX_ATTEMPTS,
        cancel_requested=job.cancel_requested, seconds=prediction.seconds, device=prediction.device,
        predicted_at=prediction.predicted_at, finished_at=job.finished_at, error=summary(job.error),
        traceback=job.error.strip(),
    )  # fmt: skip


def summary(error: str) -> str:
    """One line of what was recorded: the last one of a traceback, which names the error, else the first one."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1 if lines[0].startswith("Traceback") else 0][:SUMMARY]
