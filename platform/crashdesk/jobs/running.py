"""A claimed job inside a worker: its heartbeat, its progress, and whether it must stop."""

import logging
import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from crashdesk.jobs import services
from crashdesk.jobs.models import Job, JobState

PROGRESS_EVERY_SECONDS = 0.5
Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """Somebody asked for this job to stop."""


class ClaimLost(Exception):
    """The lease ran out and somebody else holds the job: whatever is unfinished here must not be written."""


class Running:
    """The claim on one job. Use as a context manager: a thread renews the lease until it closes.

    Claims held together share one Heartbeat instead, see crashdesk.jobs.together.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.renewed_at = time.monotonic()
        self._cancelled = threading.Event()
        self._lost = threading.Event()
        self._last_progress = 0.0
        self._untold: tuple[int, int | None, str] | None = None
        self._heartbeat = Heartbeat(f"lease-{job.pk}")

    def __enter__(self) -> Self:
        self._heartbeat.add(self)
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.stop()

    def check(self, *, fresh: bool = False) -> None:
        """Call between steps. Raises Cancelled or ClaimLost when the work must stop here.

        What the last heartbeat saw decides; `fresh` asks the database, before a write that is not to be undone.
        """
        if fresh:
            renew([self])
        if self._lost.is_set():
            raise ClaimLost(f"job {self.job.pk}: the lease ran out")
        if self._cancelled.is_set():
            raise Cancelled(f"job {self.job.pk}: cancelled")

    def finish(self, write: Callable[[], dict[str, Any] | None]) -> None:
        """Do the last step and mark the job done, both or neither, and only while the claim is ours.

        The job's row is locked meanwhile: nobody can revive, cancel or do the job in between. Raises Cancelled or
        ClaimLost, then nothing is written. A database that restarts is waited for while the lease lasts.
        """
        patiently(lambda: self._finish(write))

    @transaction.atomic
    def _finish(self, write: Callable[[], dict[str, Any] | None]) -> None:
        mine = Job.objects.filter(pk=self.job.pk, token=self.job.token, state=JobState.RUNNING)
        row = mine.select_for_update().first()
        if row is None:
            raise ClaimLost(f"job {self.job.pk}: the lease ran out")
        if row.cancel_requested:
            raise Cancelled(f"job {self.job.pk}: cancelled")
        services.finish(self.job, write() or {})

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Report how far the work is (written at most twice a second, the last step always) and check()."""
        self.check()
        now = time.monotonic()
        if done != total and now - self._last_progress < PROGRESS_EVERY_SECONDS:
            return
        self._last_progress = now
        Job.objects.filter(pk=self.job.pk, token=self.job.token).update(
            progress_done=done, progress_total=total, message=message[:300]
        )

    def progress_in_transaction(self, done: int, total: int | None = None, message: str = "") -> None:
        """progress() for work that is one database transaction: the heartbeat's own connection writes it.

        Written in the transaction itself it would be seen by nobody, and its lock would hold up the heartbeat.
        """
        self.check()
        self._untold = (done, total, message[:300])

    def tell(self) -> None:
        """Write what progress_in_transaction() was told last."""
        told, self._untold = self._untold, None
        if told is not None:
            done, total, message = told
            Job.objects.filter(pk=self.job.pk, token=self.job.token).update(
                progress_done=done, progress_total=total, message=message
            )

    def stands(self, *, cancelled: bool) -> None:
        """The claim was just seen to be ours, and whether the job is to be cancelled."""
        if cancelled:
            self._cancelled.set()

    def lose(self) -> None:
        """The claim is gone: the next check() says so."""
        self._lost.set()

    @property
    def must_stop(self) -> bool:
        """Whether check() would raise."""
        return self._lost.is_set() or self._cancelled.is_set()


def renew(claims: Collection[Running]) -> None:
    """Renew the leases of many claims in one statement, and learn which are lost or to be cancelled.

    A row that somebody else has locked is left for the next time: waiting for it while holding the others could lock
    up with whoever cancels a whole group.
    """
    began = time.monotonic()
    until = timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)
    ours = Job.objects.filter(
        pk__in=[claim.job.pk for claim in claims],
        token__in=[claim.job.token for claim in claims],
        state=JobState.RUNNING,
    )
    with transaction.atomic():
        free = set(ours.select_for_update(skip_locked=True).values_list("pk", flat=True))
        Job.objects.filter(pk__in=free).update(lease_until=until)
    cancelled = dict(ours.values_list("token", "cancel_requested"))
    for claim in claims:
        if claim.job.token not in cancelled:
            claim.lose()
            continue
        if claim.job.pk in free:
            claim.renewed_at = began
        claim.stands(cancelled=cancelled[claim.job.token])


class Heartbeat:
    """One thread that keeps any number of claims alive, on a database connection of its own."""

    def __init__(self, name: str) -> None:
        self._claims: set[Running] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=name, daemon=True)

    def add(self, claim: Running) -> None:
        with self._lock:
            self._claims.add(claim)

    def drop(self, claim: Running) -> None:
        """No longer renew this claim: its job has ended or was given back."""
        with self._lock:
            self._claims.discard(claim)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last renewal is over."""
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        looked = time.monotonic()
        try:
            while not self._stop.wait(min(PROGRESS_EVERY_SECONDS, settings.JOB_LEASE_SECONDS / 4)):
                now = time.monotonic()
                with self._lock:
                    claims = list(self._claims)
                try:
                    for claim in claims:
                        claim.tell()
                    if claims and now - looked >= settings.JOB_LEASE_SECONDS / 4:
                        looked = now
                        renew(claims)
                except (
                    DatabaseFailure
                ):  # a restart of the database must not end claims while their leases last
                    logger.warning("%s: not renewed, trying again", self._thread.name, exc_info=True)
                    connection.close()
                for claim in claims:
                    if time.monotonic() - claim.renewed_at > settings.JOB_LEASE_SECONDS:
                        claim.lose()
        finally:
            connection.close()


def patiently(step: Callable[[], Result]) -> Result:
    """Do a step on the database, again if that goes away meanwhile: a restart costs seconds, not the work done so far.

    Gives up after the length of a lease, when the claim is lost anyway. The step is one transaction: all or nothing.
    """
    began = time.monotonic()
    while True:
        try:
            return step()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() - began > settings.JOB_LEASE_SECONDS:
                raise
            logger.warning("the database does not answer, trying again", exc_info=True)
            connection.close()
            time.sleep(PROGRESS_EVERY_SECONDS)


def settle(job: Job, do: Callable[[], object]) -> bool:
    """Do a claimed job's work to one of its ends, which only the claim's holder may write. Whether it was done."""
    try:
        do()
    except Cancelled:
        patiently(lambda: services.stop_cancelled(job))
    except ClaimLost:
        logger.warning("job %s (%s): lease lost, left to its new holder", job.pk, job.kind)
    except Exception as error:  # the boundary: any failure of the work is recorded on its job
        logger.exception("job %s (%s) failed in attempt %s", job.pk, job.kind, job.attempts)
        failure = error
        patiently(lambda: services.fail(job, failure))
    else:
        return True
    return False
