"""Several waiting jobs of one group done by one worker at once, as a model on a GPU wants them.

A handler declared with `together=True` takes a Together, reads `jobs(at_once)` as far ahead as it likes, and ends
each job with `conclude`. What it leaves open is given back uncharged, or failed when the handler itself failed. A
killed worker's leases run out like any others; as each of its jobs then counts one attempt, each is done alone
from then on, so that the one that kills workers is found and set aside by itself.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from celery.signals import worker_shutting_down
from django.db import InterfaceError, OperationalError, connection

from crashdesk.jobs import services
from crashdesk.jobs.models import Job
from crashdesk.jobs.running import Cancelled, ClaimLost, Heartbeat, Result, Running, patiently, settle

SHIFT_SECONDS: Final = 300.0
"""After so long a worker goes back to its broker: RabbitMQ cuts off one that leaves a message open for 30 minutes."""

logger = logging.getLogger(__name__)
_stopping = threading.Event()


@worker_shutting_down.connect
def _told_to_stop(**_: object) -> None:
    """A warm stop waits for the task in work; without this it would wait for the whole run."""
    _stopping.set()


class Together:
    """The claims on jobs of one group that one worker holds at once. A context manager: one thread renews them all."""

    def __init__(self, first: Job, *, shift_s: float = SHIFT_SECONDS) -> None:
        self.first = first
        self.hurried = False
        """Whether `jobs` ended because something more urgent waits or the worker is to stop: whatever the handler then
        leaves undone is given back."""
        self._alone = first.attempts > 1
        self._ends_at = time.monotonic() + shift_s
        self._ahead: deque[Running] = deque()
        self._begun: dict[int, Running] = {}
        self._heartbeat = Heartbeat(f"leases-{first.group or first.pk}")
        self._take([first])

    def __enter__(self) -> Self:
        self._heartbeat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every claim still held ends: given back, or, begun when the handler failed, failed with its error."""
        try:
            if isinstance(error, Exception):
                if not self._begun and self._ahead:
                    self._begin()  # it failed before it looked at any: an attempt all the same
                for running in list(self._begun.values()):
                    self._fail(running, error)
            self._heartbeat.stop()
            left = [*self._begun.values(), *self._ahead]
            if left:
                patiently(lambda: services.give_back([running.job for running in left]))
        finally:
            self._heartbeat.stop()

    def jobs(self, at_once: int = 1) -> Iterator[Running]:
        """The first job, then, each time another is asked for, the next of its group; claimed `at_once` at a time.

        Ends when the queue's next job is another group's, was attempted before, or is none; when the worker is told
        to stop; and after a shift. Cancelled ones are left out.
        """
        while self._ahead or self._claim_more(at_once):
            if _stopping.is_set():
                self.hurried = True
                return
            running = self._begin()
            try:
                running.check()
            except (Cancelled, ClaimLost) as error:
                self._fail(running, error)
                continue
            yield running

    def conclude(self, running: Running, write: Callable[[], dict[str, Any] | None]) -> bool:
        """End one job: `write` and "done" in one transaction, under its own claim. What `write` raises fails the job.

        Returns whether it was done; not when it was cancelled, its claim was lost, or `write` raised.
        """
        try:
            return settle(running.job, lambda: running.finish(write))
        finally:
            self._drop(running)

    def attempt(self, running: Running, step: Callable[[], Result]) -> Result | None:
        """The result of an earlier step of one job, or None when it raised, which ends that job and no other."""
        result: Result | None = None

        def do() -> None:
            nonlocal result
            result = patiently(step)

        if not settle(running.job, do):
            self._drop(running)
        return result

    @property
    def is_over(self) -> bool:
        """Whether nothing that was begun is wanted any longer: all of it cancelled, or lost to other workers."""
        return bool(self._begun) and all(running.must_stop for running in self._begun.values())

    @property
    def begun(self) -> int:
        """How many jobs are begun and not ended."""
        return len(self._begun)

    def _begin(self) -> Running:
        running = self._ahead.popleft()
        self._begun[running.job.pk] = running
        return running

    def _claim_more(self, limit: int) -> bool:
        self.hurried = _stopping.is_set()
        if self._alone or self.hurried or time.monotonic() > self._ends_at:
            return False
        try:
            self._take(services.claim_along(self.first, limit))
            self.hurried = not self._ahead and services.overtakes(self.first)
        except (OperationalError, InterfaceError):  # what is in work goes on; more is for the next shift
            logger.warning("no more jobs of %s claimed", self.first.group, exc_info=True)
            connection.close()
        return bool(self._ahead)

    def _take(self, jobs: list[Job]) -> None:
        for job in jobs:
            running = Running(job)
            self._ahead.append(running)
            self._heartbeat.add(running)

    def _fail(self, running: Running, error: Exception) -> None:
        def do() -> None:
            raise error

        settle(running.job, do)
        self._drop(running)

    def _drop(self, running: Running) -> None:
        self._heartbeat.drop(running)
        self._begun.pop(running.job.pk, None)
