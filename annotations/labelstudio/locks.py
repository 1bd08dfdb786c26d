"""One at a time, across processes: PostgreSQL advisory locks held by this thread's connection."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

SPACE = 0x4C53  # keeps these locks apart from anybody else's
POLL = 0


@contextmanager
def only_one(number: int) -> Iterator[bool]:
    """Whether this thread got lock `number`; it is given back at the end of the block, or with the connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [SPACE, number])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [SPACE, number])
