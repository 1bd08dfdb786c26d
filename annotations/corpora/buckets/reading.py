"""What lies in a bucket, and the bytes of its objects. Keys come from where boto3 finds them, as the store's do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from annotations.corpora.buckets.location import BucketLocation
from crashdesk.api.errors import Problem
from crashdesk.storage.files import CHUNK
from crashdesk.storage.incoming import Spool

CONNECT_TIMEOUT_S: Final = 10
READ_TIMEOUT_S: Final = 60
ATTEMPTS: Final = 4
_CHANGED: Final = frozenset({"PreconditionFailed", "412", "NoSuchKey", "404"})


@dataclass(frozen=True)
class Listed:
    """An object as a listing tells it. `etag` without quotes, `size` in bytes."""

    key: str
    etag: str
    size: int
    modified_at: datetime | None


class ObjectUnreadable(Exception):
    """One object cannot be read now, for a reason of its own."""


class Interrupted(Exception):
    """Reading one object broke off: the connection or the server failed."""


class Bucket:
    """A bucket that can be read; `page_size` objects are listed at once."""

    def __init__(self, location: BucketLocation, *, page_size: int = 1000) -> None:
        self.location, self.page_size = location, page_size
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=location.endpoint,
            region_name=location.region,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            ),
        )  # fmt: skip

    def pages(self) -> Iterator[list[Listed]]:
        """All objects below the location's folder. Problem bucket_unreadable when they cannot be listed."""
        where = {"Bucket": self.location.bucket, "Prefix": self.location.prefix}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            **where, PaginationConfig={"PageSize": self.page_size}
        )
        try:
            for page in pages:
                yield [
                    Listed(
                        item["Key"], item.get("ETag", "").strip('"'), item["Size"], item.get("LastModified")
                    )
                    for item in page.get("Contents", [])
                ]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise  # its own trouble: worth another try
            raise _unreadable(error.response["Error"]["Code"]) from error

    def check(self) -> None:
        """Problem bucket_unreadable (502) when the bucket cannot be listed."""
        try:
            self._client.list_objects_v2(Bucket=self.location.bucket, Prefix=self.location.prefix, MaxKeys=1)
        except ClientError as error:
            raise _unreadable(error.response["Error"]["Code"]) from error
        except BotoCoreError as error:
            raise _unreadable(str(error)) from error

    def read(self, item: Listed, spool: Spool, *, progress: Callable[[int], None]) -> None:
        """Write an object's bytes to a spool, exactly those that were listed.

        ObjectUnreadable when it has changed or may not be read, Interrupted when the connection broke. `progress`
        is told the bytes read so far; it may raise to stop.
        """
        try:
            got = self._client.get_object(
                Bucket=self.location.bucket, Key=item.key, **({"IfMatch": item.etag} if item.etag else {})
            )
            for piece in got["Body"].iter_chunks(CHUNK):
                spool.write(piece)
                progress(spool.size)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                raise Interrupted(code) from error
            reason = "was changed while it was being read" if code in _CHANGED else f"cannot be read: {code}"
            raise ObjectUnreadable(reason) from error
        except BotoCoreError as error:
            raise Interrupted(str(error)) from error
        if spool.size != item.size:
            raise Interrupted(f"{spool.size} of {item.size} bytes came")


def _unreadable(what: str) -> Problem:
    return Problem("bucket_unreadable", f"The bucket cannot be read: {what}.", status=502)
