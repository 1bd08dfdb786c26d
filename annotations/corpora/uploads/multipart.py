"""Uploads straight into the bucket that is the store: S3 multipart uploads, whose parts never pass this server.

The object arrives under `incoming/<upload id>`; a job hashes it and copies it, inside the bucket, to its content's
name. Limits are S3's: parts of 5 MiB to 5 GiB but for the last one, 10,000 of them
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.storage import default_storage
from django.utils import timezone

from annotations.corpora.media_store import Stored
from annotations.corpora.models import Upload, UploadState
from annotations.corpora.uploads.content import stored_name
from annotations.corpora.uploads.partials import BytesLost
from crashdesk.api.errors import Problem
from crashdesk.storage.files import CHUNK
from crashdesk.storage.incoming import FOLDER

PART_BYTES: Final = 16 << 20
MAX_PARTS: Final = 10_000
SIGNED_FOR_S: Final = 3600
_GONE: Final = frozenset({"NoSuchUpload", "NoSuchKey", "404"})


@dataclass(frozen=True)
class Part:
    """A part as it lies in the bucket, numbered from 1."""

    number: int
    etag: str
    size: int = 0


def part_bytes(size: int) -> int:
    """How large each part of a clip of `size` bytes is, but for the last one."""
    least = -(-size // MAX_PARTS)
    return max(PART_BYTES, -(-least // (1 << 20)) * (1 << 20))


def part_count(size: int) -> int:
    """How many parts that makes; an empty clip has one, empty."""
    return max(1, -(-size // part_bytes(size)))


def key_of(upload_id: UUID) -> str:
    """Where the object arrives."""
    return f"{FOLDER}/{upload_id}"


def begin(upload_id: UUID) -> str:
    """Open a multipart upload; returns the bucket's id of it."""
    with _said_clearly():
        opened = _client().create_multipart_upload(
            Bucket=_bucket(), Key=key_of(upload_id), ContentType="application/octet-stream"
        )
    return str(opened["UploadId"])


def signed_urls(upload: Upload, numbers: list[int]) -> dict[int, str]:
    """An address to PUT each part to, good for an hour. Problem invalid_part for a number that the clip has not."""
    count = part_count(upload.size)
    for number in numbers:
        if not 1 <= number <= count:
            raise Problem(
                "invalid_part", f"The clip has parts 1 to {count}, not {number}.",
                fields={"numbers": [f"1 to {count}"]}, status=400,
            )  # fmt: skip
    signer = _client()
    return {
        number: signer.generate_presigned_url(
            "upload_part", Params={**_where(upload), "PartNumber": number}, ExpiresIn=SIGNED_FOR_S
        )
        for number in numbers
    }


def parts_there(upload: Upload) -> list[Part]:
    """The parts that have arrived, by number. Problem upload_ended when the bucket does not know the upload."""
    found: list[Part] = []
    with _said_clearly():
        pages = _client().get_paginator("list_parts").paginate(**_where(upload))
        for page in pages:
            found += [
                Part(part["PartNumber"], part["ETag"].strip('"'), part["Size"])
                for part in page.get("Parts", [])
            ]
    return found


def finish(upload: Upload, parts: list[Part]) -> None:
    """Join the parts into the object. Problem parts_differ when they are not what the bucket has, or not the clip."""
    try:
        there = {part.number: part for part in parts_there(upload)}
    except Problem as problem:
        if problem.code == "upload_ended" and _object_size(upload) == upload.size:
            return  # joined by an earlier request whose answer was lost
        raise
    wanted = list(range(1, part_count(upload.size) + 1))
    wrong = [part.number for part in parts if part != _as_told(there.get(part.number), part)]
    if sorted(part.number for part in parts) != wanted or wrong:
        what = f"parts {wrong[:10]} differ" if wrong else f"exactly the parts 1 to {wanted[-1]} are needed"
        raise Problem("parts_differ", f"The bucket has other parts: {what}.", fields={"parts": [what]})
    size = sum(there[number].size for number in wanted)
    if size != upload.size:
        what = f"{size} bytes instead of {upload.size}"
        raise Problem("parts_differ", f"The parts make {what}.", fields={"parts": [what]})
    with _said_clearly():
        _client().complete_multipart_upload(
            **_where(upload),
            MultipartUpload={
                "Parts": [{"PartNumber": number, "ETag": f'"{there[number].etag}"'} for number in wanted]
            },
        )


def _as_told(there: Part | None, told: Part) -> Part | None:
    """The bucket's part in the client's words: browsers know no sizes."""
    return None if there is None else Part(there.number, there.etag, told.size and there.size)


def store_object(upload: Upload, *, progress: Callable[[int], None]) -> Stored:
    """Hash the object as it streams by and copy it, inside the bucket, to its content's name. The object stays.

    BytesLost when it is not `upload.size` bytes long; the copy is refused by the bucket when it changes meanwhile.
    """
    digest, done = hashlib.sha256(), 0
    try:
        got = _client().get_object(Bucket=_bucket(), Key=key_of(upload.pk))
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            raise BytesLost(f"{key_of(upload.pk)} is gone") from error
        raise
    for piece in got["Body"].iter_chunks(CHUNK):
        digest.update(piece)
        done += len(piece)
        progress(done)
    if done != upload.size:
        raise BytesLost(f"{key_of(upload.pk)} holds {done} bytes instead of {upload.size}")
    sha256 = digest.hexdigest()
    name = stored_name(sha256, upload.name)
    if not default_storage.exists(name):
        source = {"Bucket": _bucket(), "Key": key_of(upload.pk)}
        _client().copy(source, _bucket(), name, ExtraArgs={"CopySourceIfMatch": got["ETag"]})
    return Stored(name, sha256, done)


def discard(upload: Upload) -> None:
    """Abort the multipart upload and remove the object, whichever is there."""
    try:
        _client().abort_multipart_upload(**_where(upload))
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise
    _client().delete_object(Bucket=_bucket(), Key=key_of(upload.pk))


def sweep(*, older_than_s: float) -> int:
    """Abort multipart uploads and remove objects that no open Upload row speaks of; returns how many."""
    removed, limit = 0, timezone.now() - timedelta(seconds=older_than_s)
    known = {key_of(pk) for pk in Upload.objects.filter(state=UploadState.OPEN).values_list("pk", flat=True)}
    where = {"Bucket": _bucket(), "Prefix": f"{FOLDER}/"}
    for page in _client().get_paginator("list_multipart_uploads").paginate(**where):
        for found in page.get("Uploads", []):
            if found["Key"] not in known and found["Initiated"] < limit:
                _client().abort_multipart_upload(
                    Bucket=_bucket(), Key=found["Key"], UploadId=found["UploadId"]
                )
                removed += 1
    for page in _client().get_paginator("list_objects_v2").paginate(**where):
        for found in page.get("Contents", []):
            if found["Key"] not in known and found["LastModified"] < limit:
                _client().delete_object(Bucket=_bucket(), Key=found["Key"])
                removed += 1
    return removed


def _object_size(upload: Upload) -> int | None:
    try:
        return int(_client().head_object(Bucket=_bucket(), Key=key_of(upload.pk))["ContentLength"])
    except ClientError as error:
        if error.response["Error"]["Code"] in _GONE:
            return None
        raise


def _client() -> Any:
    """The store's own client: its keys, its endpoint."""
    return default_storage.connection.meta.client  # type: ignore[attr-defined]


def _bucket() -> str:
    return str(default_storage.bucket_name)  # type: ignore[attr-defined]


def _where(upload: Upload) -> dict[str, Any]:
    return {"Bucket": _bucket(), "Key": key_of(upload.pk), "UploadId": upload.bucket_upload_id}


@contextmanager
def _said_clearly() -> Iterator[None]:
    """What the bucket says as Problems: upload_ended (410) for an unknown upload, else store_failed (502)."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _GONE:
            raise Problem("upload_ended", "The bucket does not know this upload.", status=410) from error
        raise Problem("store_failed", f"The bucket refuses: {code}.", status=502) from error
    except BotoCoreError as error:
        raise Problem("store_failed", f"The bucket cannot be reached: {error}", status=502) from error
