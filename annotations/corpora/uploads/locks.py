"""The locks of uploads and of bucket sources. A row lock would hold a transaction open while the bytes come."""

from contextlib import AbstractContextManager
from uuid import UUID

from crashdesk.locks import only_one

BUCKETS = 0x4255434B  # the bits that a bucket source's lock begins with


def only_writer(upload_id: UUID) -> AbstractContextManager[bool]:
    """Whether this thread alone may write to the upload until the end of the block."""
    return only_one(upload_id.int >> 65)  # 63 random bits: a positive bigint


def only_sync(bucket_source_id: int) -> AbstractContextManager[bool]:
    """Whether this thread alone may sync the bucket until the end of the block."""
    return only_one((BUCKETS << 32 | bucket_source_id & 0xFFFFFFFF) - (1 << 63))
