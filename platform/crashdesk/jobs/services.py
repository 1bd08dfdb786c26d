"""Queueing, claiming, finishing, cancelling and reviving jobs. Every write is one conditional UPDATE."""

import logging
import os
import socket
import traceback
import uuid
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from crashdesk.accounts.models import User
from crashdesk.accounts.scope import may_on
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import HeldGroup, Job, JobState
from crashdesk.jobs.registry import handler_for, queues
from crashdesk.jobs.wake import wake

logger = logging.getLogger(__name__)

RETRY_WAIT_SECONDS = 2
WAKE_AGAIN_SECONDS = 10
AT_THE_HEAD = 500
"""Jobs of a queue that one wake-up stands for: more than workers finish before the next one."""
ENDED = [JobState.DONE, JobState.FAILED, JobState.CANCELLED]
WAITING = [JobState.QUEUED, JobState.PAUSED]


@transaction.atomic
def enqueue(
    kind: str, args: dict[str, Any], *, by: User | None, group: str = "", priority: int = 0,
    corpus_id: int | None = None,
) -> Job:  # fmt: skip
    """Queue one job and wake a worker after the commit. `corpus_id`: see enqueue_many."""
    return enqueue_many(kind, [args], by=by, group=group, priority=priority, corpus_id=corpus_id)[0]


@transaction.atomic
def enqueue_many(
    kind: str, many_args: Sequence[dict[str, Any]], *, by: User | None, group: str = "", priority: int = 0,
    corpus_id: int | None = None,
) -> list[Job]:  # fmt: skip
    """Queue many jobs of one kind with one wake-up; workers pass it on while work is left.

    `corpus_id`: the corpus they work for, default what the args call "corpus" or "corpus_id". Who may not look into it
    sees none of them; those without a corpus are the site's own.
    """
    queue = handler_for(kind).queue
    jobs = Job.objects.bulk_create(
        [
            Job(kind=kind, queue=queue, args=args, group=group, priority=priority, created_by=by,
                corpus_id=corpus_id or args.get("corpus") or args.get("corpus_id"), woken_at=timezone.now())
            for args in many_args
        ],
        batch_size=1000,
    )  # fmt: skip
    if jobs:
        transaction.on_commit(partial(wake, queue))
    return jobs


@transaction.atomic
def enqueue_once(kind: str, args: dict[str, Any], *, by: User | None, group: str = "") -> Job:
    """The job of this kind with these args that waits already, or a new one: work that many events ask for."""
    with connection.cursor() as cursor:  # held to the end of the transaction: two askers make one job
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"crashdesk.enqueue_once:{kind}"])
    waiting = Job.objects.filter(kind=kind, args=args, state=JobState.QUEUED, cancel_requested=False)
    return waiting.first() or enqueue(kind, args, by=by, group=group)


@transaction.atomic
def claim_next(queue: str) -> Job | None:
    """Take the most urgent waiting job of a queue: it is ours while its lease is renewed. None when none waits."""
    job = _waiting(queue).first()
    if job is None:
        return None
    _claim([job])
    return job


@transaction.atomic
def claim_along(first: Job, limit: int) -> list[Job]:
    """Take up to `limit` more jobs of the first one's kind and group, as far as they are the next of the queue.

    Whatever is more urgent, and a job that was attempted before, ends the row: the latter may be what killed
    its worker, and is done alone.
    """
    row: list[Job] = []
    for job in _waiting(first.queue)[:limit] if first.group else ():
        if (job.kind, job.group) != (first.kind, first.group) or job.attempts:
            break
        row.append(job)
    _claim(row)
    return row


def overtakes(job: Job) -> bool:
    """Whether something more urgent than this job waits in its queue."""
    return _ready(job.queue).filter(priority__lt=job.priority).exists()


def _ready(queue: str) -> QuerySet[Job]:
    due = Q(not_before__isnull=True) | Q(not_before__lte=timezone.now())
    return Job.objects.filter(due, queue=queue, state="queued")


def _waiting(queue: str) -> QuerySet[Job]:
    """What may be claimed now, most urgent first, without the rows that another worker is just claiming."""
    return _ready(queue).order_by("priority", "id").select_for_update(skip_locked=True)


def _claim(jobs: Sequence[Job]) -> None:
    """One token and lease each. An attempt is counted at once: a worker that dies any later has had it."""
    now = timezone.now()
    for job in jobs:
        job.state, job.token, job.worker = JobState.RUNNING, uuid.uuid4(), worker_name()
        job.lease_until = now + timedelta(seconds=settings.JOB_LEASE_SECONDS)
        job.attempts += 1
        job.started_at = job.started_at or now
    if jobs:
        fields = ["state", "token", "worker", "lease_until", "attempts", "started_at"]
        Job.objects.bulk_update(jobs, fields)


def worker_name() -> str:
    """Machine and process, as a job remembers who did it."""
    return f"{socket.gethostname()}:{os.getpid()}"[:100]


@transaction.atomic
def give_back(jobs: Sequence[Job]) -> int:
    """Return claimed jobs that were not begun, or not to their end, through no fault of theirs.

    No attempt is counted and what was begun is undone, as if they had never been claimed; one that was to be
    cancelled is cancelled. Returns how many were still ours.
    """
    returned = 0
    for job in sorted(jobs, key=lambda job: job.pk):  # as cancel_group locks them
        mine = _held(job).select_for_update().first()
        if mine is None:
            continue
        returned += 1
        if mine.cancel_requested:
            _end_undone(job, _held(job), JobState.CANCELLED, error="")
            continue
        waits: dict[str, Any] = {"token": None, "lease_until": None, "attempts": F("attempts") - 1}
        _held(job).update(state=_waits_as(job), **waits)
        if (gave_up := handler_for(job.kind).gave_up) is not None:
            gave_up(job)
    return returned


def _held(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, token=job.token, state=JobState.RUNNING)


def finish(job: Job, result: dict[str, Any]) -> bool:
    """Mark the work done. False when the claim was lost meanwhile: then nothing is written."""
    return bool(
        _held(job).update(
            state=JobState.DONE,
            result=result,
            token=None,
            lease_until=None,
            finished_at=timezone.now(),
            error="",
        )
    )


@transaction.atomic
def stop_cancelled(job: Job) -> bool:
    """Mark a running job as cancelled at the worker's own checkpoint."""
    return _end_undone(job, _held(job), JobState.CANCELLED, error="")


@transaction.atomic
def fail(job: Job, error: BaseException) -> bool:
    """Record why an attempt failed; queue it again after a pause unless it is out of attempts or hopeless."""
    text = "".join(traceback.format_exception(error))
    job.refresh_from_db(fields=["cancel_requested"])
    if job.cancel_requested:
        return _end_undone(job, _held(job), JobState.CANCELLED, error=text)
    if isinstance(error, Problem) or job.attempts >= settings.JOB_MAX_ATTEMPTS:
        summary = error.message if isinstance(error, Problem) else text
        return _end_undone(job, _held(job), JobState.FAILED, error=summary)
    return bool(_held(job).update(
        state=_waits_as(job), token=None, lease_until=None, error=text,
        not_before=timezone.now() + timedelta(seconds=RETRY_WAIT_SECONDS * job.attempts),
    ))  # fmt: skip


def _waits_as(job: Job) -> JobState:
    """How a job that is to be done waits: paused where its group is held, so that a pause holds all of it."""
    held = bool(job.group) and HeldGroup.objects.filter(group=job.group).exists()
    return JobState.PAUSED if held else JobState.QUEUED


@transaction.atomic
def pause_group(group: str) -> int:
    """Hold a group: its waiting jobs, and whichever come to wait; running ones go on. Returns how many are held."""
    HeldGroup.objects.get_or_create(group=group)
    return Job.objects.filter(group=group, state=JobState.QUEUED).update(state=JobState.PAUSED)


@transaction.atomic
def resume_group(group: str) -> int:
    """Let the held jobs of a group wait for a worker again, from where they were. Returns how many."""
    HeldGroup.objects.filter(group=group).delete()
    held = Job.objects.filter(group=group, state=JobState.PAUSED)
    queues = set(held.order_by().values_list("queue", flat=True).distinct())
    resumed = held.update(state=JobState.QUEUED, woken_at=timezone.now())
    for queue in queues:
        transaction.on_commit(partial(wake, queue))
    return resumed


def _end_undone(job: Job, rows: QuerySet[Job], state: JobState, *, error: str) -> bool:
    ended = rows.update(
        state=state, token=None, lease_until=None, finished_at=timezone.now(), error=error, not_before=None
    )
    if not ended:
        return False
    job.refresh_from_db()
    gave_up = handler_for(job.kind).gave_up
    if gave_up is not None:
        gave_up(job)
    return True


@transaction.atomic
def cancel(job_id: int, *, by: User | None) -> Job:
    """Stop a job: at once when it waits, at its next checkpoint when it runs. Raises Problem when it has ended."""
    job = Job.objects.get(pk=job_id)
    waiting = Job.objects.filter(pk=job_id, state__in=WAITING)
    if not _end_undone(job, waiting, JobState.CANCELLED, error="") and not Job.objects.filter(
        pk=job_id, state=JobState.RUNNING
    ).update(cancel_requested=True):
        raise Problem("job_ended", f"Job {job_id} has ended already.")
    record(actor=by, verb="job.cancelled", subject=job)
    job.refresh_from_db()
    return job


def cancel_group(group: str, *, by: User | None) -> int:
    """Cancel every open job of a group, which is no longer held then; returns how many were open."""
    HeldGroup.objects.filter(group=group).delete()
    still_open = Job.objects.filter(group=group).exclude(state__in=ENDED).order_by("id")
    open_ids = list(still_open.values_list("pk", flat=True))
    cancelled = 0
    for job_id in open_ids:
        try:
            cancel(job_id, by=by)
        except Problem:  # it ended between the two statements
            continue
        cancelled += 1
    return cancelled


@transaction.atomic
def retry(job_id: int, *, by: User | None) -> Job:
    """Queue a failed or cancelled job once more; it is `by` who asks for it then.

    Raises Problem in any other state, or when `by` may not start it.
    """
    job = Job.objects.get(pk=job_id)
    needed = handler_for(job.kind).needs
    if by is not None and not may_on(by, needed, job.corpus_id):
        raise Problem("permission_denied", f"Your role does not allow to {needed.value}.", status=403)
    if not Job.objects.filter(pk=job_id, state__in=[JobState.FAILED, JobState.CANCELLED]).update(
        state=_waits_as(job), attempts=0, cancel_requested=False, finished_at=None, error="",
        not_before=None, woken_at=timezone.now(), restarted_by=by or job.restarted_by,
    ):  # fmt: skip
        raise Problem(
            "job_not_ended", f"Job {job_id} is {job.state}; only a failed or cancelled job can be retried."
        )
    record(actor=by, verb="job.retried", subject=job)
    transaction.on_commit(partial(wake, job.queue))
    job.refresh_from_db()
    return job


def revive_expired() -> int:
    """Give back jobs whose worker died: queued again, or failed once out of attempts. Returns how many.

    Each job in a transaction of its own: one whose `gave_up` fails must not hold up the others.
    """
    expired = Job.objects.filter(state=JobState.RUNNING, lease_until__lt=timezone.now()).order_by("id")
    revived = 0
    for job_id in list(expired.values_list("pk", flat=True)[:100]):
        try:
            revived += _revive(job_id)
        except Exception:  # the boundary between jobs: said aloud, and tried again at the next tick
            logger.exception("job %s cannot be revived", job_id)
    return revived


@transaction.atomic
def _revive(job_id: int) -> bool:
    job = (
        Job.objects.filter(pk=job_id, state=JobState.RUNNING, lease_until__lt=timezone.now())
        .select_for_update(skip_locked=True)
        .first()
    )
    if job is None:
        return False
    row = Job.objects.filter(pk=job.pk)
    if job.cancel_requested:
        _end_undone(job, row, JobState.CANCELLED, error="")
    elif job.attempts >= settings.JOB_MAX_ATTEMPTS:
        error = f"set aside: the worker died {job.attempts} times on this job\n{job.error}"
        _end_undone(job, row, JobState.FAILED, error=error)
    else:
        row.update(state=_waits_as(job), token=None, lease_until=None, woken_at=None)
    return True


def wake_waiting() -> list[str]:
    """Wake the queues whose next jobs nobody was told of lately: a lost message delays work, never loses it.

    Only the jobs at a queue's head are looked at and noted, however many wait behind them.
    """
    now = timezone.now()
    told_lately = now - timedelta(seconds=WAKE_AGAIN_SECONDS)
    woken = []
    for queue in queues():
        head = list(_ready(queue).order_by("priority", "id").values_list("pk", "woken_at")[:AT_THE_HEAD])
        if not head or (head[0][1] is not None and head[0][1] >= told_lately):
            continue
        Job.objects.filter(pk__in=[pk for pk, _ in head]).update(woken_at=now)
        wake(queue)
        woken.append(queue)
    return woken
