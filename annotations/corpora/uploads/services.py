"""Uploads from beginning to end: every write to an Upload row. What becomes of the bytes is annotations.cases' part.

An offset is acknowledged only after its bytes are durable, and moves by conditional UPDATE under a lock per upload:
a server killed at any moment has lost nothing it acknowledged, and the next writer cuts off what it had not.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotations.corpora.access import require
from annotations.corpora.importers.rows import (
    MAX_RECORDING,
    MAX_SOURCE,
    BadField,
    checked_metadata,
    checked_name,
    text_field,
)
from annotations.corpora.media_store import Stored
from annotations.corpora.models import Corpus, Upload, UploadState, Video
from annotations.corpora.uploads import multipart
from annotations.corpora.uploads.content import OTHER_BYTES
from annotations.corpora.uploads.locks import only_writer
from annotations.corpora.uploads.partials import (
    BytesLost,
    Partial,
    discard_partial,
    said_clearly,
    store_partial,
)
from annotations.corpora.uploads.tus import Checksum
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_in
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue
from crashdesk.storage.files import is_local
from crashdesk.storage.incoming import free_bytes, sweep

PIECE: Final = 1 << 18
COMMIT_BYTES: Final = 8 << 20
"""Bytes between two acknowledgements inside one request: what a killed server makes the client send again."""
JOB: Final = "upload"
_LIMITS: Final = {"source": MAX_SOURCE, "recording": MAX_RECORDING, "split": 20}

Read = Callable[[int], bytes]


def begin_upload(*, corpus: Corpus, name: str, size: int, metadata: dict[str, Any], by: User) -> Upload:
    """Note a coming upload of a clip of `size` bytes; in a bucket its multipart upload is opened too.

    Problem when the name or the metadata cannot be used, the clip is too large, the disk is too full, or the name
    is taken by a clip of another size.
    """
    require(by, Action.IMPORT, corpus)
    _check(name, size, metadata)
    taken = (
        Video.objects.filter(corpus=corpus, name=name, media__isnull=False).select_related("media").first()
    )
    if taken is not None and taken.media is not None and taken.media.size != size:
        raise name_taken(name)
    upload = Upload(
        corpus=corpus, name=name, size=size, metadata=metadata, created_by=by, expires_at=_expiry()
    )
    if not is_local():
        upload.bucket_upload_id = multipart.begin(upload.pk)
    with transaction.atomic():
        upload.save(force_insert=True)
        data = {"upload": str(upload.pk), "name": name, "size": size}
        record(actor=by, verb="upload.started", subject=corpus, data=data)
        if size == 0 and is_local():
            _queue(upload)
    return upload


def _check(name: str, size: int, metadata: dict[str, Any]) -> None:
    try:
        checked_name(name, "name")
        checked_metadata(metadata, "metadata")
        for key, limit in _LIMITS.items():
            text_field(metadata, key, limit=limit, default="")
    except BadField as problem:
        raise Problem(
            "invalid",
            f"{problem.field}: {problem.reason}.",
            fields={problem.field: [problem.reason]},
            status=400,
        ) from problem
    if size > settings.UPLOAD_MAX_BYTES:
        limit = settings.UPLOAD_MAX_BYTES // 1024**2
        raise Problem(
            "upload_too_large",
            f"A clip may have {limit} MiB at most.",
            fields={"size": ["too large"]},
            status=413,
        )
    with said_clearly():
        free = free_bytes()
    if free is not None and free < size:
        raise Problem("store_full", "The server's disk has not enough room for this clip.", status=507)


def name_taken(name: str) -> Problem:
    """A clip of that name is there already and has other bytes."""
    return Problem("name_taken", f"{name!r} {OTHER_BYTES}.", fields={"name": ["is taken by another clip"]})


def append(
    *, upload_id: UUID, offset: int, length: int, read: Read, checksum: Checksum | None, by: User
) -> Upload:
    """Add up to `length` bytes from `read` at `offset` to an upload in a local store; returns it as it then is.

    What arrives before the connection breaks stays, unless a checksum was promised: then it is all or nothing.
    Problem: offset_conflict (409), upload_busy (423), upload_too_long (413), upload_ended (410), checksum_mismatch
    (460), upload_interrupted (400), store_full (507), store_failed (500). The last byte queues the job "upload".
    """
    with only_writer(upload_id) as alone:
        if not alone:
            raise Problem("upload_busy", "Another request is writing to this upload.", status=423)
        upload = open_upload(upload_id, by=by)
        if offset != upload.offset:
            raise Problem(
                "offset_conflict", f"The upload is at {upload.offset}, not at {offset}.",
                fields={"Upload-Offset": [str(upload.offset)]},
            )  # fmt: skip
        if length > upload.size - offset:
            raise Problem("upload_too_long", f"Only {upload.size - offset} bytes are missing.", status=413)
        if length == 0:
            _acknowledge(upload, offset)
            return upload
        return _write(upload, length, read, checksum)


def _write(upload: Upload, length: int, read: Read, checksum: Checksum | None) -> Upload:
    with said_clearly():
        try:
            file = Partial(upload.pk, offset=upload.offset)
        except BytesLost as error:
            refuse(upload, f"the server has lost bytes of this upload: {error}")
            raise Problem(
                "upload_ended", "The server has lost this upload's bytes: begin again.", status=410
            ) from error
    hasher = checksum.hasher() if checksum else None
    arrived, synced = 0, 0
    try:
        while arrived < length and (piece := _read(read, min(PIECE, length - arrived))):
            with said_clearly():
                file.write(piece)
            arrived += len(piece)
            if hasher is not None:
                hasher.update(piece)
            elif arrived - synced >= COMMIT_BYTES:
                _sync(file, upload, upload.offset + arrived - synced)
                synced = arrived
        if hasher is not None and checksum is not None and hasher.digest() != checksum.digest:
            raise Problem("checksum_mismatch", "The bytes are not those of Upload-Checksum.", status=460)
        _sync(file, upload, upload.offset + arrived - synced)
    except Problem as problem:
        if problem.code == "upload_interrupted" and hasher is None:
            _sync(file, upload, upload.offset + arrived - synced)
        raise
    finally:
        file.close()
    return upload


def _read(read: Read, size: int) -> bytes:
    try:
        return read(size)
    except OSError as error:
        raise Problem("upload_interrupted", "The connection broke off.", status=400) from error


def _sync(file: Partial, upload: Upload, offset: int) -> None:
    with said_clearly():
        file.sync()
    _acknowledge(upload, offset)


@transaction.atomic
def _acknowledge(upload: Upload, offset: int) -> None:
    """Move the offset, from where this thread knows it to be; the last one queues the job."""
    held = Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN, offset=upload.offset)
    expires_at = _expiry()
    if not held.update(offset=offset, expires_at=expires_at):
        raise Problem("upload_ended", "The upload was ended meanwhile.", status=410)
    upload.offset, upload.expires_at = offset, expires_at
    if offset == upload.size:
        _queue(upload)


def complete(*, upload_id: UUID, parts: list[multipart.Part], by: User) -> Upload:
    """Join the parts of an upload in a bucket, after checking them against what the bucket has; queues the job.

    Safe to repeat while the upload is open. Problem: parts_differ (409), upload_busy (423), upload_ended (410),
    store_failed (502).
    """
    with only_writer(upload_id) as alone:
        if not alone:
            raise Problem("upload_busy", "Another request is completing this upload.", status=423)
        upload = open_upload(upload_id, by=by)
        if upload.offset < upload.size or upload.size == 0:
            multipart.finish(upload, parts)
        _acknowledge(upload, upload.size)
        return upload


def not_by_parts() -> Problem:
    """The store is a local folder."""
    return Problem(
        "upload_by_tus", "This server takes uploads by the tus protocol, not in parts.", status=409
    )


def open_upload(upload_id: UUID, *, by: User) -> Upload:
    """An upload of this person's that still takes bytes; Problem not_your_upload (403) or upload_ended (410)."""
    upload = Upload.objects.select_related("corpus").get(pk=upload_id)
    if upload.created_by_id != by.pk:
        raise Problem("not_your_upload", "Somebody else has begun this upload.", status=403)
    require(by, Action.IMPORT, upload.corpus)
    if upload.state != UploadState.OPEN or upload.expires_at < timezone.now():
        how = upload.problem or (upload.state if upload.state != UploadState.OPEN else "expired")
        raise Problem("upload_ended", f"This upload has ended: {how}.", status=410)
    return upload


def _expiry() -> Any:
    return timezone.now() + timedelta(hours=settings.UPLOAD_EXPIRE_HOURS)


def _queue(upload: Upload) -> None:
    """Queue the job that makes a video of the bytes, unless it is queued already."""
    waiting = Job.objects.filter(
        kind=JOB, state__in=[JobState.QUEUED, JobState.RUNNING], args__upload_id=str(upload.pk)
    )
    if not waiting.exists():
        enqueue(
            JOB, {"upload_id": str(upload.pk)}, by=upload.created_by, group=group_of(upload),
            corpus_id=upload.corpus_id,
        )  # fmt: skip


def group_of(upload: Upload) -> str:
    """The job group of an upload and of the media job that follows."""
    return f"upload:{upload.pk}"


def store_bytes(upload: Upload, *, progress: Callable[[int], None]) -> Stored:
    """Put the bytes of a complete upload into the store under their content's name; safe to do again.

    BytesLost when they are not there in full. `progress` is told the bytes read; it may raise to stop.
    """
    if upload.bucket_upload_id:
        return multipart.store_object(upload, progress=progress)
    return store_partial(upload.pk, name=upload.name, size=upload.size, progress=progress)


def discard(upload: Upload) -> None:
    """Remove what lies in the store under the upload's own name."""
    if upload.bucket_upload_id:
        multipart.discard(upload)
    elif is_local():
        discard_partial(upload.pk)


@transaction.atomic
def finish(upload: Upload, *, video: Video) -> None:
    """The bytes are this video's: discard() them once this is committed. Problem upload_ended when the upload was
    ended meanwhile: then nothing is written."""
    ended = {"state": UploadState.DONE, "video": video, "problem": "", "finished_at": timezone.now()}
    if not Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(**ended):
        raise Problem("upload_ended", "The upload was ended meanwhile.", status=410)
    data = {"upload": str(upload.pk), "bytes": upload.size}
    record(actor=upload.created_by, verb="upload.finished", subject=video, data=data)


@transaction.atomic
def refuse(upload: Upload, problem: str) -> bool:
    """End an upload whose bytes cannot be taken; False when it had ended already."""
    return _end(upload, UploadState.REFUSED, problem, by=None)


def note_problem(upload_id: UUID, problem: str) -> None:
    """Say on an open upload why its bytes have not become a video yet; it can be tried again until it expires."""
    Upload.objects.filter(pk=upload_id, state=UploadState.OPEN).update(
        problem=problem[:500], expires_at=_expiry()
    )


@transaction.atomic
def cancel_upload(*, upload_id: UUID, by: User) -> None:
    """End an upload and remove its bytes. Problem when it is somebody else's, or has ended."""
    upload = Upload.objects.select_related("corpus").get(pk=upload_id)
    if upload.created_by_id != by.pk and not may_in(by, Action.CANCEL, upload.corpus_id):
        raise Problem("not_your_upload", "Somebody else has begun this upload.", status=403)
    if not _end(upload, UploadState.CANCELLED, "", by=by):
        raise Problem("upload_ended", "This upload has ended already.", status=410)


def _end(upload: Upload, state: UploadState, problem: str, *, by: User | None) -> bool:
    ended = {"state": state, "problem": problem[:500], "finished_at": timezone.now()}
    if not Upload.objects.filter(pk=upload.pk, state=UploadState.OPEN).update(**ended):
        return False
    data = {"upload": str(upload.pk), "name": upload.name, "problem": problem}
    record(actor=by, verb=f"upload.{state}", subject=upload.corpus, data=data)
    transaction.on_commit(partial(discard, upload), robust=True)  # what stays behind is swept away later
    return True


def expire_uploads() -> int:
    """End uploads that nobody has gone on with in time, and sweep leftovers from the store; returns how many ended."""
    busy = Job.objects.filter(kind=JOB, state__in=[JobState.QUEUED, JobState.RUNNING])
    waiting = set(busy.values_list("args__upload_id", flat=True))
    old = Upload.objects.filter(state=UploadState.OPEN, expires_at__lt=timezone.now())
    ended = 0
    for upload in old.select_related("corpus").order_by("expires_at")[:500]:
        if str(upload.pk) not in waiting:
            with transaction.atomic():
                ended += _end(upload, UploadState.CANCELLED, upload.problem or "expired", by=None)
    alive = Upload.objects.filter(state=UploadState.OPEN).values_list("pk", flat=True)
    older_than_s = settings.UPLOAD_EXPIRE_HOURS * 3600
    if is_local():
        sweep(older_than_s=older_than_s, but={str(pk) for pk in alive})
    else:
        multipart.sweep(older_than_s=older_than_s)
    return ended
