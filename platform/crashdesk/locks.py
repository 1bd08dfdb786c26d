"""One at a time, across processes and machines: PostgreSQL's advisory locks, held by this thread's connection.

They belong to the database session, not to a transaction: none stays open for as long as the work takes, and a
holder that is killed loses its connection and with it the lock. So no pooler between CrashDesk and PostgreSQL may give
each transaction another session (docs/deploy.md).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def only_one(*key: int) -> Iterator[bool]:
    """Whether this thread got the lock `key`: one bigint or two integers, which PostgreSQL keeps apart from each other.

    It is given back at the end of the block, or with the connection.
    """
    marks = ", ".join(["%s"] * len(key))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_try_advisory_lock({marks})", key)
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT pg_advisory_unlock({marks})", key)
