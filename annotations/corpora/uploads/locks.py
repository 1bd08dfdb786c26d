"""One at a time, across processes and machines: PostgreSQL advisory locks of this thread's connection.

A holder that is killed loses its connection, and with it the lock; a row lock would hold a transaction open for as
long as the bytes take to come.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection

BUCKETS = 0x4255434B  # the bits that a bucket source's lock begins with


@contextmanager
def only_writer(upload_id: UUID) -> Iterator[bool]:
    """Whether this thread alone may write to the upload until the end of the block."""
    with _only_one(upload_id.int >> 65) as held:  # 63 random bits: a positive bigint
        yield held


@contextmanager
def only_sync(bucket_source_id: int) -> Iterator[bool]:
    """Whether this thread alone may sync the bucket until the end of the block."""
    with _only_one((BUCKETS << 32 | bucket_source_id & 0xFFFFFFFF) - (1 << 63)) as held:
        yield held


@contextmanager
def _only_one(number: int) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [number])
