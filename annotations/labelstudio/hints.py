"""Passing on Label Studio's hints that something changed, without ever making its reviewers wait.

Label Studio calls the webhook inside the request that saves a reviewer's work. So the view only sets a flag; a thread
of this process tells the workers, many hints at once, and drops the hint when the broker does not take it: the next
poll comes by itself within seconds.
"""

import logging
import threading
from collections.abc import Callable

from celery import current_app

logger = logging.getLogger(__name__)

POLL_TASK = "annotations.labelstudio.tasks.poll"
EXPIRES_SECONDS = 30
PAUSE_SECONDS = 0.3
"""After each message, so that a burst of hints is one or two polls."""


def wake_the_poll() -> None:
    """One message to the workers. Raises what the broker's client raises when nobody takes it."""
    current_app.send_task(POLL_TASK, queue="sync", expires=EXPIRES_SECONDS, retry=False)


class Hints:
    """Hints of one process. The thread starts with the first one: a server forks before it gets requests."""

    def __init__(self, tell: Callable[[], None] = wake_the_poll, *, pause_s: float = PAUSE_SECONDS) -> None:
        self._tell, self._pause_s = tell, pause_s
        self._waiting = threading.Event()
        self._ended = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def give(self) -> None:
        """Say that something changed. Returns at once, whatever the broker does."""
        self._waiting.set()
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._pass_on, name="label-studio-hints", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread, for tests; a hint that still waits is dropped."""
        self._ended.set()
        self._waiting.set()
        if self._thread is not None:
            self._thread.join()

    def _pass_on(self) -> None:
        while True:
            self._waiting.wait()
            if self._ended.is_set():
                return
            self._waiting.clear()
            try:
                self._tell()
            except (
                Exception
            ) as error:  # the boundary: whatever is wrong with the broker, the poll comes anyway
                logger.warning("a hint of Label Studio was not passed on (the poll comes anyway): %s", error)
            self._ended.wait(self._pause_s)


hints = Hints()
