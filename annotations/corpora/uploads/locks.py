"""One writer per upload, across processes and machines: PostgreSQL advisory locks of this thread's connection.

A writer that is killed loses its connection, and with it the lock; a row lock would hold a transaction open for as
long as the bytes take to come.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection


@contextmanager
def only_writer(upload_id: UUID) -> Iterator[bool]:
    """Whether this thread alone may write to the upload until the end of the block."""
    number = upload_id.int >> 65  # 63 random bits: a positive bigint
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
