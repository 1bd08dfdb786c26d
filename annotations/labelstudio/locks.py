"""The locks of polls, pushes and provisioning."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from crashdesk import locks
from crashdesk.api.errors import Problem

SPACE = 0x4C53  # keeps these locks apart from anybody else's
PROVISION_SPACE = 0x4C54
POLL = 0
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.1


def only_one(number: int) -> AbstractContextManager[bool]:
    """Whether this thread got lock `number`; it is given back at the end of the block, or with the connection."""
    return locks.only_one(SPACE, number)


@contextmanager
def provisioning(number: int) -> Iterator[None]:
    """One at a time makes or changes the project of row `number`; others wait. Problem after a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with locks.only_one(PROVISION_SPACE, number) as alone:
            if alone:
                yield
                return
        if time.monotonic() > deadline:
            raise Problem(
                "labelstudio_busy", "Somebody else has been setting up this project for a minute; try again."
            )
        time.sleep(PAUSE_SECONDS)
