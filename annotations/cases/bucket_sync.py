"""Syncs of a bucket into a corpus. The job "bucket_sync" and the command sync_bucket run the same function.

Only objects that are new or changed since a sync last read them are read. Clips and the memory of having read them
are written in one transaction per slice: a sync that was killed goes on where it was.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.arrivals import differing, guideline_of_corpus, settle_other_cases
from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.intake_batches import take_videos
from annotations.cases.intake_tally import Tally
from annotations.cases.models import Case, Guideline
from annotations.corpora.audit_requests import request_audit
from annotations.corpora.buckets.reading import Bucket, Interrupted, Listed, ObjectUnreadable
from annotations.corpora.buckets.services import location_of, note_gone, remember
from annotations.corpora.importers.folder import NOT_CLIPS
from annotations.corpora.importers.rows import BadField, Rejection, VideoRow, checked_name, shown
from annotations.corpora.media_store import Stored
from annotations.corpora.models import BucketObject, BucketSource, ImportRejection, ImportRun, Video
from annotations.corpora.uploads.content import OTHER_BYTES, row_of, store_spool
from annotations.corpora.uploads.locks import only_sync
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from crashdesk.storage.incoming import Spool

SLICE: Final = 20
"""Objects read between two commits: what a kill can make the next try read again."""
PATIENCE: Final = 5
"""Objects in a row whose reading breaks off before the sync itself is given up."""
SHOWN: Final = 50

Progress = Callable[[int, int | None, str], None]


class SyncBusy(Exception):
    """Another process is syncing this bucket."""


def sync_work(running: Running) -> dict[str, Any]:
    """The job "bucket_sync": args {"import_run_id"}."""
    return run_sync(running.job.args["import_run_id"], progress=running.progress)


def run_sync(import_run_id: int, *, progress: Progress, page_size: int = 1000) -> dict[str, Any]:
    """Bring a corpus up to date with its bucket; returns the report that it also stores. Safe to start again.

    `progress(done, total, message)` is called often, in objects; it may raise to stop. Problem when the bucket may
    not or cannot be listed, SyncBusy while another process syncs it.
    """
    run = ImportRun.objects.select_related("corpus", "created_by").get(pk=import_run_id)
    source = BucketSource.objects.select_related("corpus").get(pk=run.options["bucket_source_id"])
    location = location_of(source)
    with only_sync(source.pk) as alone:
        if not alone:
            raise SyncBusy(f"another process is syncing {source.url}")
        run.rejections.all().delete()
        bucket = Bucket(location, page_size=page_size)
        sync = _Sync(run, source, bucket, guideline_of_corpus(run.corpus, by=run.created_by), progress)
        sync.read()
        return sync.finish()


@dataclass
class _Sync:
    """One run on its way."""

    run: ImportRun
    source: BucketSource
    bucket: Bucket
    guideline: Guideline
    progress: Progress
    tally: Tally = field(init=False)
    listed: int = 0
    unchanged: int = 0
    read_count: int = 0
    read_bytes: int = 0
    broken_off: int = 0
    seen: set[int] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tally = Tally(self.run.created_at)

    def read(self) -> None:
        """List the bucket page by page, and read what is new or changed."""
        for page in self.bucket.pages():
            wanted = self.sort_out(page)
            for slice_ in _slices(wanted, SLICE):
                self.take(slice_)
            self.listed += len(page)
            self.progress(self.listed, None, f"{self.listed} objects, {self.read_count} read")
        self.gone = note_gone(self.source, self.seen)
        self.progress(self.listed, self.listed, f"{self.listed} objects, {self.read_count} read")

    def name_of(self, item: Listed) -> str:
        """The video's name: the key below the source's folder."""
        return item.key.removeprefix(self.bucket.location.prefix)

    def sort_out(self, page: Sequence[Listed]) -> list[Listed]:
        """The objects of a page that must be read; the others are counted, or rejected, or left aside."""
        clips = [item for item in page if self.is_clip(item)]
        known = {
            item.key: item
            for item in self.source.objects_seen.filter(key__in=[item.key for item in clips]).select_related(
                "video__media"
            )
        }
        held = dict(
            Video.objects.filter(
                corpus=self.run.corpus, name__in=[self.name_of(item) for item in clips], media__isnull=False
            ).values_list("name", "media__size")
        )
        wanted, refused, read_before = [], [], []
        for item in clips:
            before, size = known.get(item.key), held.get(self.name_of(item))
            if before is not None:
                self.seen.add(before.pk)
            if before is not None and _is_same(before, item) and (before.video_id or size is not None):
                if before.read_at >= self.run.created_at:
                    read_before.append(before)
                else:
                    self.unchanged += 1
                if before.video_id is None:
                    self.reject(item.key, OTHER_BYTES)
            elif size is not None and size != item.size:
                refused.append(_memory(item, None))
                self.reject(item.key, OTHER_BYTES)
            else:
                wanted.append(item)
        self.note_read_before(read_before)
        self.remember(refused)
        return wanted

    def is_clip(self, item: Listed) -> bool:
        """Whether an object is to become a video; others are left aside, or rejected for their name."""
        name = self.name_of(item)
        if not name or (name.endswith("/") and item.size == 0):
            return False  # a folder's marker
        last = name.rsplit("/", 1)[-1]
        if not last or last.startswith(".") or f".{last.rsplit('.', 1)[-1].lower()}" in NOT_CLIPS:
            self.tally.left_aside.append(shown(name))
            return False
        try:
            checked_name(name, "name")
        except BadField as problem:
            self.reject(shown(item.key), problem.reason, field_name="name")
            return False
        return True

    def note_read_before(self, objects: Sequence[BucketObject]) -> None:
        """Count what this run had read before it was killed, so that its report speaks of all of it."""
        self.read_count += len(objects)
        self.read_bytes += sum(item.size for item in objects)
        videos = [item.video for item in objects if item.video is not None]
        for video in videos:
            self.tally.video(video)
        for case in Case.objects.filter(guideline=self.guideline, video__in=videos):
            self.tally.case(case.pk, case.created_at)

    def take(self, items: Sequence[Listed]) -> None:
        """Read these objects, and write their videos and cases together with the memory of having read them."""
        held = dict(
            Video.objects.filter(
                corpus=self.run.corpus, name__in=[self.name_of(item) for item in items], media__isnull=False
            ).values_list("name", "media__sha256")
        )
        stored: dict[str, Stored] = {}
        taken: list[tuple[Listed, VideoRow]] = []
        refused = []
        for item in items:
            name = self.name_of(item)
            with Spool() as spool:
                if not self.fetch(item, spool):
                    continue
                if held.get(name, spool.sha256) != spool.sha256:
                    refused.append(_memory(item, None))
                    self.reject(item.key, OTHER_BYTES)
                    continue
                same = next((known for known in stored.values() if known.sha256 == spool.sha256), None)
                stored[name] = same or store_spool(spool, name)
            taken.append((item, row_of(name, {}, file=shown(item.key))))
        with transaction.atomic():
            cases = take_videos(
                [row for _, row in taken], corpus=self.run.corpus, guideline=self.guideline, stored=stored,
                tally=self.tally, group=f"import:{self.run.pk}", by=self.run.created_by,
            )  # fmt: skip
            videos = {name: case.video for name, case in cases.items()}
            if late := differing(videos, stored):
                raise RuntimeError(f"{late[0]} got other bytes while the bucket was being read")
            settle_other_cases(videos.values(), by=self.run.created_by)
            self.remember([*refused, *(_memory(item, videos[row.name]) for item, row in taken)])

    def fetch(self, item: Listed, spool: Spool) -> bool:
        """Read one object's bytes; False when it is rejected. Interrupted when the bucket fails again and again."""
        try:
            self.bucket.read(
                item, spool,
                progress=lambda done: self.progress(
                    self.listed, None, f"{shown(item.key)[-200:]}: {done >> 20} of {item.size >> 20} MiB"
                ),
            )  # fmt: skip
        except ObjectUnreadable as error:
            self.reject(item.key, str(error))
            return False
        except Interrupted as error:
            self.broken_off += 1
            if self.broken_off >= PATIENCE:
                raise
            self.reject(item.key, f"cannot be read: {error}")
            return False
        self.broken_off = 0
        self.read_count += 1
        self.read_bytes += spool.size
        return True

    def remember(self, objects: list[BucketObject]) -> None:
        """Note how objects were when they were read."""
        remember(self.source, objects)
        keys = [item.key for item in objects]
        self.seen.update(self.source.objects_seen.filter(key__in=keys).values_list("pk", flat=True))

    def reject(self, key: str, reason: str, *, field_name: str = "file") -> None:
        """Note what was not taken."""
        item = Rejection(shown(key), None, field_name, reason)
        ImportRejection.objects.create(
            run=self.run, file=item.file, row=None, field=item.field, reason=item.reason[:500]
        )
        self.tally.rejected += 1

    @transaction.atomic
    def finish(self) -> dict[str, Any]:
        """Store the report, and have the corpus audited where anything new was read."""
        now = timezone.now()
        self.tally.files = [{"file": self.source.url, "rows": self.read_count}]
        report = {
            **self.tally.report(),
            "guideline": {
                "id": self.guideline.pk, "name": self.guideline.name, "version": self.guideline.version,
            },
            "prompts": {
                prompt.kind: {
                    "from": "default" if prompt.text == DEFAULT_PROMPTS[prompt.kind] else "guideline",
                    "version": prompt.version,
                }
                for prompt in self.guideline.prompts.all()
            },
            "bucket": {
                "id": self.source.pk, "url": self.source.url, "objects": self.listed,
                "unchanged": self.unchanged, "read": self.read_count, "read_bytes": self.read_bytes,
                "gone": [shown(key) for key in self.gone[:SHOWN]], "gone_count": len(self.gone),
            },
        }  # fmt: skip
        ImportRun.objects.filter(pk=self.run.pk).update(report=report, finished_at=now)
        BucketSource.objects.filter(pk=self.source.pk).update(synced_at=now)
        counts = {name: report[name] for name in ("videos", "rejected", "bucket")}
        record(actor=self.run.created_by, verb="import.finished", subject=self.run, data=counts)
        if self.read_count:
            request_audit(self.run.corpus_id, by=self.run.created_by)
        return report


def _is_same(before: BucketObject, item: Listed) -> bool:
    """Whether an object is as it was. Servers that tell no ETag are believed by the time of the last change."""
    if before.size != item.size:
        return False
    return before.etag == item.etag if item.etag else before.modified_at == item.modified_at


def _memory(item: Listed, video: Video | None) -> BucketObject:
    return BucketObject(
        key=item.key, etag=item.etag[:100], size=item.size, modified_at=item.modified_at, video=video
    )


def _slices(items: Sequence[Listed], size: int) -> Iterator[list[Listed]]:
    iterator = iter(items)
    while slice_ := list(islice(iterator, size)):
        yield slice_
