"""A claimed job inside a worker: its heartbeat, its progress, and whether it must stop."""

import logging
import threading
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from django.utils import timezone

from crashdesk.jobs.models import Job, JobState

PROGRESS_EVERY_SECONDS = 0.5
logger = logging.getLogger(__name__)


class Cancelled(Exception):
    """Somebody asked for this job to stop."""


class ClaimLost(Exception):
    """The lease ran out and somebody else holds the job: whatever is unfinished here must not be written."""


class Running:
    """The claim on one job. Use as a context manager: a thread renews the lease until it closes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._stop = threading.Event()
        self._cancelled = threading.Event()
        self._lost = threading.Event()
        self._last_progress = 0.0
        self._untold: tuple[int, int | None, str] | None = None
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self, *, fresh: bool = False) -> None:
        """Call between steps. Raises Cancelled or ClaimLost when the work must stop here.

        What the last heartbeat saw decides; `fresh` asks the database, before a write that is not to be undone.
        """
        if fresh:
            self._renew()
        if self._lost.is_set():
            raise ClaimLost(f"job {self.job.pk}: the lease ran out")
        if self._cancelled.is_set():
            raise Cancelled(f"job {self.job.pk}: cancelled")

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

    def _tell(self) -> None:
        told, self._untold = self._untold, None
        if told is not None:
            done, total, message = told
            Job.objects.filter(pk=self.job.pk, token=self.job.token).update(
                progress_done=done, progress_total=total, message=message
            )

    def _beat(self) -> None:
        renewed = looked = time.monotonic()
        try:
            while not self._stop.wait(min(PROGRESS_EVERY_SECONDS, settings.JOB_LEASE_SECONDS / 4)):
                began = time.monotonic()
                try:
                    self._tell()
                    if began - looked < settings.JOB_LEASE_SECONDS / 4:
                        continue
                    looked = began
                    self._renew()
                    renewed = began
                except (
                    DatabaseFailure
                ):  # a restart of the database must not end the claim while its lease lasts
                    logger.warning("job %s: lease not renewed, trying again", self.job.pk, exc_info=True)
                    connection.close()
                if time.monotonic() - renewed > settings.JOB_LEASE_SECONDS:
                    self._lost.set()
        finally:
            connection.close()

    def _renew(self) -> None:
        mine = Job.objects.filter(pk=self.job.pk, token=self.job.token, state=JobState.RUNNING)
        until = timezone.now() + timedelta(seconds=settings.JOB_LEASE_SECONDS)
        if not mine.update(lease_until=until):
            self._lost.set()
        elif mine.filter(cancel_requested=True).exists():
            self._cancelled.set()
