"""Imports: reading annotation files and clips into a corpus. The job "import" and the command run the same function.

Rows are read and written in batches, so memory does not grow with the files beyond a few bytes per clip. Everything
is found again by a key of its content: a run that was killed is simply started again, and a second import of the
same folder changes nothing.
"""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from django.db import transaction
from django.utils import timezone

from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.intake_batches import (
    Restated,
    keep_records,
    restate_answers,
    take_absences,
    take_answers,
    take_rows,
)
from annotations.cases.intake_tally import Tally
from annotations.cases.kinds import TIME_KINDS, Kind
from annotations.cases.models import Case, Guideline
from annotations.cases.services import ensure_guideline
from annotations.corpora.audit_requests import request_audit
from annotations.corpora.fetch.services import enqueue_fetches
from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.importers.places import Places
from annotations.corpora.importers.reading import Format, Reading
from annotations.corpora.importers.rows import Rejection, VideoRow
from annotations.corpora.media_store import Stored, store
from annotations.corpora.models import ImportRejection, ImportRun, Media, Video
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from crashdesk.storage.files import ContentChanged

BATCH: Final = 1000
MEDIA_BATCH: Final = 20
"""Clips stored between two commits: what a kill can make the next run read again."""

Progress = Callable[[int, int | None, str], None]
T = TypeVar("T")


def import_work(running: Running) -> dict[str, Any]:
    """The job "import": args {"import_run_id"}."""
    return run_import(running.job.args["import_run_id"], progress=running.progress)


def run_import(import_run_id: int, *, progress: Progress) -> dict[str, Any]:
    """Read an ImportRun's files into its corpus; returns the report that it also stores. Safe to start again.

    `progress(done, total, message)` is called after each batch, in what the reader counts (bytes of annotation
    files, clips of a folder); it may raise to stop. Problem when the files have gone.
    """
    run = ImportRun.objects.select_related("corpus", "created_by").get(pk=import_run_id)
    path = Path(run.path)
    if not path.exists():
        raise Problem("import_path_missing", f"{path} is not there any more.")
    run.rejections.all().delete()
    intake = _Intake(run, FORMATS[run.format], Tally(run.created_at), progress)
    with _settled_heap():
        intake.read()
    return intake.finish()


@contextmanager
def _settled_heap() -> Iterator[None]:
    """Spare the garbage collector what is there already, modules and all: it would look through it again with each
    few batches of rows, a fifth of an import's work in Python."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@dataclass
class _Intake:
    """One run on its way."""

    run: ImportRun
    format: Format
    tally: Tally
    progress: Progress
    prompts: dict[str, dict[str, str]] = field(default_factory=dict)
    guideline: Guideline | None = None
    spoilt: set[tuple[str, str]] = field(default_factory=set)
    """(clip name, kind of time) of rows that said something which could not be taken."""
    restated: Restated = field(default_factory=dict)
    answered: bool = False

    def read(self) -> None:
        """Take all rows of the files, batch by batch."""
        path, options = Path(self.run.path), self.run.options
        find_prompts = self.format.prompts
        self.ensure_guideline(find_prompts(Reading(path, options)) if find_prompts else {})
        reading = Reading(path, options)
        places = Places(reading.root) if self.format.find_media else None
        for batch in _batches(self.format.read(reading), BATCH):
            self.reject([item for item in batch if isinstance(item, Rejection)])
            rows = [item for item in batch if isinstance(item, VideoRow)]
            if places is not None:
                rows = self.find_media(rows, places)
            for slice_ in _batches(rows, MEDIA_BATCH if any(row.path for row in rows) else BATCH):
                self.take(slice_, reading)
                self.progress(reading.position(), reading.total, reading.message)
            self.progress(reading.position(), reading.total, reading.message)
        self.tally.files = [{"file": name, "rows": rows} for name, rows in reading.files.items()]
        self.tally.left_aside = reading.left_aside
        for part in _batches(self.restated.items(), BATCH):
            restate_answers(dict(part), tally=self.tally)
        if self.answered:
            self.take_absences()

    def find_media(self, rows: list[VideoRow], places: Places) -> list[VideoRow]:
        """The rows with the paths of their clips, where they lie beside the files and are not stored already."""
        beside = {file: str(PurePosixPath(file).parent) for file in {row.file for row in rows}}
        paths = {
            row.name: path
            for row in rows
            if row.path is None and (path := places.find(row.name, beside=beside[row.file]))
        }
        if not paths:
            return rows
        ours = Video.objects.filter(corpus=self.run.corpus, name__in=paths)
        watchable = set(ours.exclude(media=None).values_list("name", flat=True))
        return [
            replace(row, path=paths[row.name])
            if row.path is None and row.name in paths and row.name not in watchable
            else row
            for row in rows
        ]

    def take(self, rows: list[VideoRow], reading: Reading) -> None:
        """Store the clips that have bytes, then write videos, cases, answers and the rows as they stood."""
        assert self.guideline is not None
        taken, stored, rejected = self.store_clips(rows, reading)
        with transaction.atomic():
            cases = take_rows(
                taken, corpus=self.run.corpus, guideline=self.guideline, stored=stored, tally=self.tally,
                group=f"import:{self.run.pk}", by=self.run.created_by,
            )  # fmt: skip
            rejected += take_answers(taken, cases=cases, tally=self.tally, restated=self.restated)
            keep_records(taken, format=self.run.format, cases=cases)
            self.fetch([cases[row.name].video_id for row in taken if row.url and row.name not in stored])
        self.answered = self.answered or any(row.answers for row in taken)
        for row in taken:
            if row.file in reading.files:
                reading.files[row.file] += 1
        self.reject(rejected)

    def fetch(self, video_ids: list[int]) -> None:
        """Have the clips fetched whose rows only give an address, where that is allowed."""
        if video_ids:
            lacking = Video.objects.filter(pk__in=video_ids, media=None)
            enqueue_fetches(lacking, by=self.run.created_by, group=f"import:{self.run.pk}")

    def take_absences(self) -> None:
        """Write down that clips without a crash have no times, case by case of the corpus."""
        cases = Case.objects.filter(corpus=self.run.corpus, guideline=self.guideline).order_by("id")
        for batch in _batches(cases.values_list("pk", "video__name").iterator(BATCH), BATCH):
            take_absences(batch, spoilt=self.spoilt, tally=self.tally)
            self.progress(1, 1, "absent times")

    def store_clips(
        self, rows: list[VideoRow], reading: Reading
    ) -> tuple[list[VideoRow], dict[str, Stored], list[Rejection]]:
        """Put the rows' bytes into the store: (rows to take, stored by name, rows whose bytes cannot be had)."""
        names = [row.name for row in rows if row.path is not None]
        before = dict(
            Media.objects.filter(videos__corpus=self.run.corpus, videos__name__in=names).values_list(
                "videos__name", "sha256"
            )
        )
        taken, stored, rejected = [], {}, []
        for row in rows:
            if row.path is not None:
                try:
                    reading.check_inside(row.path)
                    clip = store(row.path)
                except (OSError, ContentChanged) as error:
                    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
                    rejected.append(
                        Rejection(row.file, row.row, "file", f"cannot be read: {reason}", name=row.name)
                    )
                    continue
                if before.get(row.name, clip.sha256) != clip.sha256:
                    reason = "holds other bytes than when it was imported; give the new clip a new name"
                    rejected.append(Rejection(row.file, row.row, "file", reason, name=row.name))
                    continue
                before[row.name] = clip.sha256  # binds the next row of this name in the batch
                stored[row.name] = clip
            taken.append(row)
        return taken, stored, rejected

    def ensure_guideline(self, found: Mapping[str, str]) -> None:
        """The guideline of the corpus: prompts of the data, else those of its newest version, else the default ones."""
        name = self.run.corpus.name
        newest = Guideline.objects.filter(name=name).order_by("-version").first()
        earlier = {prompt.kind: prompt.text for prompt in newest.prompts.all()} if newest else {}
        texts = {}
        for kind in Kind.values:
            text, origin = next(
                (texts_of[kind], origin)
                for texts_of, origin in (
                    (found, "data"),
                    (earlier, "guideline"),
                    (DEFAULT_PROMPTS, "default"),
                )
                if kind in texts_of
            )
            texts[kind] = text
            self.prompts[kind] = {"from": origin}
        self.guideline = ensure_guideline(name=name, prompts=texts, by=self.run.created_by)
        for prompt in self.guideline.prompts.all():
            self.prompts[prompt.kind]["version"] = prompt.version

    def reject(self, rejections: Sequence[Rejection]) -> None:
        """Note what was not taken."""
        rows = [
            ImportRejection(
                run=self.run, file=item.file[-300:], row=item.row, field=item.field, reason=item.reason[:500]
            )
            for item in rejections
        ]
        ImportRejection.objects.bulk_create(rows)
        self.spoilt.update(
            (item.name, item.kind) for item in rejections if item.name and item.kind in TIME_KINDS
        )
        self.tally.rejected += len(rows)

    @transaction.atomic
    def finish(self) -> dict[str, Any]:
        """Store the report, and have the corpus audited as it is now."""
        assert self.guideline is not None
        report = {
            **self.tally.report(),
            "guideline": {
                "id": self.guideline.pk,
                "name": self.guideline.name,
                "version": self.guideline.version,
            },
            "prompts": self.prompts,
        }
        ImportRun.objects.filter(pk=self.run.pk).update(report=report, finished_at=timezone.now())
        counts = {name: report[name] for name in ("videos", "answers", "rejected")}
        record(actor=self.run.created_by, verb="import.finished", subject=self.run, data=counts)
        request_audit(self.run.corpus_id, by=self.run.created_by)
        return report


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
