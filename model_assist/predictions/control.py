"""Holding a run, letting it go on, stopping it, and giving its failed cases another try."""

from collections.abc import Sequence
from functools import partial
from typing import Final

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import cancel_group, pause_group, resume_group
from crashdesk.jobs.wake import wake
from model_assist.predictions.listening import QUEUE
from model_assist.predictions.models import CasePrediction, PredictionRun

OPEN: Final = (JobState.QUEUED, JobState.PAUSED, JobState.RUNNING)
UNDONE: Final = (JobState.FAILED, JobState.CANCELLED)


def jobs_of(run: PredictionRun) -> QuerySet[Job]:
    """One job per case of the run."""
    return Job.objects.filter(group=run.group)


@transaction.atomic
def pause_run(*, run: PredictionRun, by: User | None, reason: str = "") -> int:
    """Hold the waiting cases; those at work go on to their end. Returns how many are held.

    Raises Problem when the run is held already, or has nothing left to hold.
    """
    _check_open(run)
    if not PredictionRun.objects.filter(pk=run.pk, paused_at=None).update(paused_at=timezone.now()):
        raise Problem("run_not_running", f"Run {run.pk} is paused already.")
    count = pause_group(run.group)
    record(actor=by, verb="prediction_run.paused", subject=run, data={"held": count, "reason": reason})
    run.refresh_from_db()
    return count


@transaction.atomic
def resume_run(*, run: PredictionRun, by: User | None) -> int:
    """Let the held cases wait for a worker again. Returns how many. Raises Problem when the run is not held."""
    if not PredictionRun.objects.filter(pk=run.pk, paused_at__isnull=False).update(
        paused_at=None, active_since=timezone.now()
    ):
        raise Problem("run_not_paused", f"Run {run.pk} is not paused.")
    count = resume_group(run.group)
    record(actor=by, verb="prediction_run.resumed", subject=run, data={"held": count})
    run.refresh_from_db()
    return count


@transaction.atomic
def cancel_run(*, run: PredictionRun, by: User | None) -> int:
    """Stop a run: waiting cases at once, those at work before their answers are written. Returns how many were open.

    Answers that are written stay. Raises Problem when nothing is open, or all of it is being stopped already.
    """
    _check_open(run)
    now = timezone.now()
    PredictionRun.objects.filter(pk=run.pk).update(cancelled_at=now, paused_at=None)
    # Cases that no worker ever began have nothing to be undone: all of them in one statement.
    untouched = jobs_of(run).filter(state__in=[JobState.QUEUED, JobState.PAUSED], attempts=0)
    count = untouched.update(state=JobState.CANCELLED, finished_at=now, not_before=None)
    count += cancel_group(run.group, by=by)
    record(actor=by, verb="prediction_run.cancelled", subject=run, data={"cases": count})
    run.refresh_from_db()
    return count


@transaction.atomic
def retry_run(*, run: PredictionRun, by: User | None, case_ids: Sequence[int] | None = None) -> int:
    """Queue the failed and cancelled cases of a run (or the named ones among them) once more. Returns how many.

    A held run stays held: they wait with the others. Raises Problem when there is none.
    """
    undone = jobs_of(run).filter(state__in=UNDONE)
    if case_ids is not None:
        rows = CasePrediction.objects.filter(run=run, case_id__in=case_ids).values_list("pk", flat=True)
        undone = undone.filter(args__case_prediction__in=list(rows))
    held = PredictionRun.objects.select_for_update().get(pk=run.pk).paused_at is not None
    now = timezone.now()
    count = undone.update(
        state=JobState.PAUSED if held else JobState.QUEUED, attempts=0, cancel_requested=False,
        finished_at=None, error="", not_before=None, woken_at=now,
    )  # fmt: skip
    if not count:
        raise Problem(
            "nothing_to_retry", f"No failed or cancelled case of run {run.pk} is left to try again."
        )
    PredictionRun.objects.filter(pk=run.pk).update(cancelled_at=None, active_since=now)
    record(actor=by, verb="prediction_run.retried", subject=run, data={"cases": count})
    if not held:
        transaction.on_commit(partial(wake, QUEUE))
    run.refresh_from_db()
    return count


def _check_open(run: PredictionRun) -> None:
    """Whether some case is open that is not being stopped. Raises Problem when there is none."""
    left = jobs_of(run).filter(state__in=OPEN)
    if left.filter(cancel_requested=False).exists():
        return
    if left.exists():
        raise Problem("run_stopping", f"Run {run.pk} is being stopped already.")
    raise Problem("run_ended", f"Run {run.pk} has ended: every case is done, failed or cancelled.")
