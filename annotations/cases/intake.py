"""Imports: reading annotation files and clips into a corpus. The job "import" and the command run the same function.

Rows are read and written in batches, so memory does not grow with the files beyond a few bytes per clip. Everything
is found again by a key of its content: a run that was killed is simply started again, and a second import of the
same folder changes nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from django.db import transaction
from django.utils import timezone

from annotations.cases.default_prompts import DEFAULT_PROMPTS
from annotations.cases.intake_batches import take_absences, take_answers, take_videos
from annotations.cases.intake_tally import Tally
from annotations.cases.kinds import TIME_KINDS, Kind
from annotations.cases.models import Case, Guideline
from annotations.cases.services import ensure_guideline
from annotations.corpora.importers import crashchat, demo, folder
from annotations.corpora.importers.rows import AnswerRow, Rejection, VideoRow, shown
from annotations.corpora.media_store import Stored, store
from annotations.corpora.models import ImportFormat, ImportRejection, ImportRun, Media, Video
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running
from crashdesk.storage.files import ContentChanged

BATCH: Final = 500
MEDIA_BATCH: Final = 20
"""Clips stored between two commits: what a kill can make the next run read again."""

Progress = Callable[[int, int | None, str], None]
T = TypeVar("T")


def import_work(running: Running) -> dict[str, Any]:
    """The job "import": args {"import_run_id"}."""
    return run_import(running.job.args["import_run_id"], progress=running.progress)


def run_import(import_run_id: int, *, progress: Progress) -> dict[str, Any]:
    """Read an ImportRun's files into its corpus; returns the report that it also stores. Safe to start again.

    `progress(done, total, message)` is called after each batch, in bytes of annotation files or in clips; it may
    raise to stop. Problem when the files have gone.
    """
    run = ImportRun.objects.select_related("corpus", "created_by").get(pk=import_run_id)
    path = Path(run.path)
    if not path.exists():
        raise Problem("import_path_missing", f"{path} is not there any more.")
    run.rejections.all().delete()
    intake = _Intake(run, Tally(run.created_at), progress)
    if run.format == ImportFormat.CRASHCHAT:
        intake.crashchat(path)
    elif run.format == ImportFormat.DEMO:
        intake.demo(path)
    else:
        intake.folder(path)
    return intake.finish()


@dataclass
class _Intake:
    """One run on its way."""

    run: ImportRun
    tally: Tally
    progress: Progress
    prompts: dict[str, dict[str, str]] = field(default_factory=dict)
    guideline: Guideline | None = None

    def crashchat(self, path: Path) -> None:
        """Conversation files: answers for clips that may lie beside them or be absent."""
        files: list[tuple[Path, str, str]] = []
        for file in crashchat.files_of(path):
            name = shown(file.name if path.is_file() else file.relative_to(path))
            kind = crashchat.kind_of(file.name)
            if kind is None:
                known = ", ".join(Kind.values)
                self.reject(
                    [Rejection(name, None, "", f"the file name tells no kind of question (one of {known})")]
                )
            else:
                files.append((file, name, kind))
        self.ensure_guideline(_prompts_in(files))
        total, done = sum(file.stat().st_size for file, _, _ in files), 0
        spoilt: set[tuple[str, str]] = set()
        roots = [path.parent if path.is_file() else path]
        for file, name, kind in files:
            rows = 0
            with file.open("rb") as stream:
                for batch in _batches(crashchat.read_stream(stream, file=name, kind=kind), BATCH):
                    rejected = [item for item in batch if isinstance(item, Rejection)]
                    answers = [item for item in batch if isinstance(item, AnswerRow)]
                    rejected += self.take_answers(answers, places=[file.parent, *roots])
                    self.reject(rejected)
                    spoilt.update((item.name, kind) for item in rejected if item.name and kind in TIME_KINDS)
                    rows += len(answers)
                    self.progress(done + stream.tell(), total, f"{name}: {rows} rows")
            self.tally.files.append({"file": name, "kind": kind, "rows": rows})
            done += file.stat().st_size
        cases = Case.objects.filter(corpus=self.run.corpus, guideline=self.guideline).select_related("video")
        for case_batch in _batches(cases.order_by("id").iterator(BATCH), BATCH):
            take_absences(case_batch, spoilt=spoilt, tally=self.tally)
            self.progress(total, total, "absent times")

    def take_answers(self, rows: list[AnswerRow], *, places: list[Path]) -> list[Rejection]:
        """Videos, cases and answers of a batch; clips that lie in one of `places` are stored."""
        ours = Video.objects.filter(corpus=self.run.corpus, name__in=[row.name for row in rows])
        watchable = set(ours.exclude(media=None).values_list("name", flat=True))
        videos = [
            VideoRow(
                row.file, row.row, row.name, row.source, row.recording,
                path=None if row.name in watchable else _find(row.name, places),
            )
            for row in rows
        ]  # fmt: skip
        cases, rejected = self.take_videos(videos)
        return rejected + take_answers(
            [row for row in rows if row.name in cases], cases=cases, tally=self.tally
        )

    def demo(self, path: Path) -> None:
        """A demo corpus: clips to be predicted and reviewed."""
        manifest = demo.manifest_of(path)
        if not manifest.is_file():
            raise Problem("import_path_missing", f"There is no {manifest.name} in {path}.")
        self.ensure_guideline({})
        rows, total = 0, manifest.stat().st_size
        with manifest.open("rb") as stream:
            reader = demo.read_stream(stream, file=manifest.name, folder=manifest.parent)
            for batch in _batches(reader, MEDIA_BATCH):
                rows += self.take_clips(batch)
                self.progress(stream.tell(), total, f"{rows} clips")
        self.tally.files.append({"file": manifest.name, "kind": "", "rows": rows})

    def folder(self, path: Path) -> None:
        """A plain folder of clips."""
        clips, aside = folder.files_of(path)
        self.tally.left_aside = [shown(item.relative_to(path)) for item in aside]
        self.ensure_guideline({})
        rows = 0
        for batch in _batches(folder.read_files(path, clips), MEDIA_BATCH):
            rows += self.take_clips(batch)
            self.progress(rows, len(clips), f"{rows} clips")

    def take_clips(self, batch: list[VideoRow | Rejection]) -> int:
        """Videos and cases of a batch; returns how many were taken."""
        self.reject([item for item in batch if isinstance(item, Rejection)])
        cases, rejected = self.take_videos([item for item in batch if isinstance(item, VideoRow)])
        self.reject(rejected)
        return len(cases)

    def take_videos(self, rows: list[VideoRow]) -> tuple[dict[str, Case], list[Rejection]]:
        """Store the clips that have bytes, then write videos and cases, in slices of few clips."""
        assert self.guideline is not None
        cases: dict[str, Case] = {}
        rejected: list[Rejection] = []
        size = MEDIA_BATCH if any(row.path for row in rows) else BATCH
        for slice_ in _batches(rows, size):
            taken, stored, bad = self.store_clips(slice_)
            rejected += bad
            cases |= take_videos(
                taken, corpus=self.run.corpus, guideline=self.guideline, stored=stored, tally=self.tally,
                group=f"import:{self.run.pk}", by=self.run.created_by,
            )  # fmt: skip
        return cases, rejected

    def store_clips(self, rows: list[VideoRow]) -> tuple[list[VideoRow], dict[str, Stored], list[Rejection]]:
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

    def reject(self, rejections: Iterable[Rejection]) -> None:
        """Note what was not taken."""
        rows = [
            ImportRejection(
                run=self.run, file=item.file[-300:], row=item.row, field=item.field, reason=item.reason[:500]
            )
            for item in rejections
        ]
        ImportRejection.objects.bulk_create(rows)
        self.tally.rejected += len(rows)

    @transaction.atomic
    def finish(self) -> dict[str, Any]:
        """Store the report."""
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
        return report


def _prompts_in(files: Iterable[tuple[Path, str, str]]) -> dict[str, str]:
    """The question of each kind: that of the first row that has one. Reads no further than that row."""
    prompts: dict[str, str] = {}
    for file, name, kind in files:
        if kind not in prompts:
            with file.open("rb") as stream:
                rows = crashchat.read_stream(stream, file=name, kind=kind)
                row = next((row for row in rows if isinstance(row, AnswerRow)), None)
            if row is not None:
                prompts[kind] = row.prompt
    return prompts


def _find(name: str, places: Iterable[Path]) -> Path | None:
    return next((place / name for place in places if (place / name).is_file()), None)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
