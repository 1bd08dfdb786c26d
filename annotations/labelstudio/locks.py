"""The locks of polls and pushes."""

from contextlib import AbstractContextManager

from crashdesk import locks

SPACE = 0x4C53  # keeps these locks apart from anybody else's
POLL = 0


def only_one(number: int) -> AbstractContextManager[bool]:
    """Whether this thread got lock `number`; it is given back at the end of the block, or with the connection."""
    return locks.only_one(SPACE, number)
