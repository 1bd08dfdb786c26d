"""Starting an import and following it: formats with their options, folders of the server, progress, rejections."""

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import Count, Min, Q

from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.importers.places import CLIP_SUFFIXES
from annotations.corpora.models import ImportFormat, ImportRejection, ImportRun
from crashdesk.jobs.models import Job, JobState
from frontend.corpora import summary
from frontend.corpora_clip import size

SHOWN_ENTRIES: Final = 300
SHOWN_REASONS: Final = 12
OPEN: Final = (JobState.QUEUED, JobState.PAUSED, JobState.RUNNING)
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Option:
    """Something that a format may be told. `choices`: (value, words); without any it is a text, a `check` box, or
    `json`."""

    name: str
    label: str
    help: str
    choices: tuple[tuple[str, str], ...] = ()
    check: bool = False
    json: bool = False


OPTIONS: Final[Mapping[str, tuple[Option, ...]]] = {
    ImportFormat.CCD: (
        Option(
            "crash_until_clip_end",
            "The crash lasts to the clip's end",
            "CCD labels every frame after the start as crash: take that as a span.",
            check=True,
        ),
    ),
    ImportFormat.CADP: (
        Option(
            "fps",
            "Frames per second",
            "CADP states none: without a rate there is no crash span. E.g. 25 or 30000/1001.",
        ),
        Option("fold", "Fold", "Whose train and test the clips are given; empty: the only fold there is."),
    ),
    ImportFormat.LABELSTUDIO: (
        Option(
            "fps",
            "Frames per second",
            "For tasks that state none. Label Studio itself takes 24 where it was told none.",
        ),
        Option(
            "video", "Field that holds the video", "Empty: the only one of a task's data that looks like it."
        ),
        Option(
            "controls",
            "Controls of the labelling form",
            "Empty: CrashDesk's own form. Else kinds with their controls, as docs/formats-tables.md says.",
            json=True,
        ),
    ),
    ImportFormat.MMAU: (
        Option(
            "set",
            "Which half of MM-AU",
            "Needed only where neither the file nor its folder is called CAP or DADA.",
            choices=(("", "as the file name tells"), ("cap", "CAP"), ("dada", "DADA")),
        ),
        Option("fps", "Frames per second", "The file states none. Empty: the rates known for each half."),
    ),
    ImportFormat.NEXAR: (
        Option(
            "positives",
            "What a positive means",
            "A positive is a collision or a near collision.",
            choices=(("", "a crash"), ("open", "left open, for people to answer")),
        ),
    ),
}


@dataclass(frozen=True)
class Choice:
    """A format to choose. `mapped`: its columns need a mapping."""

    value: str
    title: str
    fills: str
    folder_only: bool
    mapped: bool
    options: tuple[Option, ...]


def choices() -> list[Choice]:
    """The formats, the plain folder first, then by title."""
    found = [
        Choice(
            value=str(value), title=format_.title, fills=format_.fills, folder_only=format_.folder_only,
            mapped=value == ImportFormat.TABLE, options=OPTIONS.get(value, ()),
        )
        for value, format_ in FORMATS.items()
    ]  # fmt: skip
    return sorted(found, key=lambda choice: (choice.value != ImportFormat.FOLDER, choice.title.lower()))


@dataclass(frozen=True)
class Entry:
    """Something in a folder of the server."""

    name: str
    path: str
    folder: bool
    clip: bool
    about: str


@dataclass(frozen=True)
class Folder:
    """A folder below an import root, or the list of roots when `path` is ''. `problem` says why it cannot be shown."""

    path: str
    crumbs: list[tuple[str, str]]
    entries: list[Entry]
    left_out: int
    problem: str = ""


def roots() -> list[Path]:
    """The folders that imports may read from."""
    return [Path(root).resolve() for root in settings.IMPORT_ROOTS]


def below_roots(text: str) -> Path | None:
    """The path, links resolved, when it exists below an import root; None otherwise."""
    if not text or "\0" in text:
        return None
    try:
        path = Path(text).resolve()
        return path if path.exists() and any(path.is_relative_to(root) for root in roots()) else None
    except (OSError, RuntimeError):  # a name too long, a loop of links
        return None


def folder(text: str) -> Folder:
    """What lies at a path below the import roots; the roots themselves for ''. The folder of a file for a file."""
    if not text:
        return _roots()
    path = below_roots(text)
    if path is None:
        return _roots(f"{text[:200]} is not there, or lies outside the import folders.")
    path = path if path.is_dir() else path.parent
    root = next((root for root in roots() if path.is_relative_to(root)), None)
    if root is None:
        return _roots(f"{text[:200]} lies outside the import folders.")
    crumbs = [(str(root), str(root))]
    for part in path.relative_to(root).parts:
        crumbs.append((part, str(Path(crumbs[-1][1]) / part)))
    try:
        entries, left_out = _entries(path)
    except OSError as error:
        return Folder(str(path), crumbs, [], 0, f"This folder cannot be read: {error.strerror or error}")
    return Folder(str(path), crumbs, entries, left_out)


def _roots(problem: str = "") -> Folder:
    entries = [
        Entry(
            str(root), str(root), folder=True, clip=False, about="" if root.is_dir() else "is not there yet"
        )
        for root in roots()
    ]
    if not entries:
        problem = "No folder may be imported from: CRASHDESK_IMPORT_ROOTS is empty."
    return Folder("", [], entries, 0, problem)


def _entries(path: Path) -> tuple[list[Entry], int]:
    """Folders first, by name; files that a link or a name keeps out of reach, and all beyond the limit, are counted."""
    found, out_of_reach = [], 0
    with os.scandir(path) as items:
        for item in items:
            if item.name.startswith("."):
                continue
            try:
                item.name.encode()
                is_folder = item.is_dir()
                about = "" if is_folder else size(item.stat().st_size)
                reachable = not item.is_symlink() or below_roots(item.path) is not None
            except (OSError, UnicodeEncodeError):
                reachable = False
            if not reachable:
                out_of_reach += 1
                continue
            clip = Path(item.name).suffix.lower() in CLIP_SUFFIXES
            found.append(Entry(item.name, item.path, folder=is_folder, clip=clip, about=about))
    found.sort(key=lambda entry: (not entry.folder, entry.clip, entry.name.lower()))
    return found[:SHOWN_ENTRIES], out_of_reach + max(0, len(found) - SHOWN_ENTRIES)


@dataclass(frozen=True)
class Clips:
    """How far one kind of work on the clips of an import is: its jobs, by how they ended."""

    total: int
    done: int
    failed: int

    @property
    def ended(self) -> int:
        """However they ended."""
        return self.done + self.failed

    @property
    def waiting(self) -> int:
        """Those at work among them."""
        return self.total - self.ended


@dataclass(frozen=True)
class Progress:
    """How far an import is. `percent` None: nothing tells the total yet. `live`: it will change by itself."""

    state: str
    percent: float | None
    message: str
    error: str
    stopping: bool
    attempts: int
    clips: Clips
    fetched: Clips
    rejected: int
    words: list[str]
    job: Job | None
    live: bool

    @property
    def open(self) -> bool:
        """Whether its own job is still to end."""
        return self.job is not None and self.state in OPEN


def progress(run: ImportRun) -> Progress:
    """The import's own job, and those of its clips."""
    job = Job.objects.filter(pk=run.job_id).first() if run.job_id else None
    state = job.state if job else JobState.DONE if run.finished_at else JobState.QUEUED
    of_clips = Job.objects.filter(group=f"import:{run.pk}", kind__in=["media", "fetch"]).order_by()
    tallies = of_clips.values("kind").annotate(
        total=Count("pk"),
        done=Count("pk", filter=Q(state=JobState.DONE)),
        failed=Count("pk", filter=Q(state__in=[JobState.FAILED, JobState.CANCELLED])),
    )
    by_kind = {row["kind"]: Clips(row["total"], row["done"], row["failed"]) for row in tallies}
    clips, fetched = (by_kind.get(kind, Clips(0, 0, 0)) for kind in ("media", "fetch"))
    percent = None
    if state == JobState.DONE:
        percent = 100.0
    elif job is not None and job.progress_total:
        percent = min(100.0, 100 * job.progress_done / job.progress_total)
    return Progress(
        state=str(state), percent=percent, message=job.message if job else "",
        error=job.error.strip() if job and state == JobState.FAILED else "",
        stopping=bool(job and job.cancel_requested and state in OPEN), attempts=job.attempts if job else 0,
        clips=clips, fetched=fetched, rejected=run.rejections.count(), words=summary(run.report), job=job,
        live=bool(job and state in OPEN) or clips.waiting + fetched.waiting > 0,
    )  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """Rejected rows that say the same of the same field, as an example says it."""

    field: str
    example: str
    count: int


def reasons(run: ImportRun) -> list[Reason]:
    """What rejected rows have in common: by field, the most frequent first."""
    counted = (
        run.rejections.order_by()
        .values("field")
        .annotate(count=Count("pk"), example=Min("reason"))
        .order_by("-count", "field")
    )
    return [Reason(row["field"], row["example"], row["count"]) for row in counted[:SHOWN_REASONS]]


class _Echo:
    """What csv.writer writes to: it hands the line back."""

    def write(self, line: str) -> str:
        return line


def rejections_csv(run: ImportRun) -> Iterator[str]:
    """The rejected rows as CSV, line by line: file, row, field, reason.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection).
    """
    writer = csv.writer(_Echo())
    yield writer.writerow(["file", "row", "field", "reason"])
    rows = (
        ImportRejection.objects.filter(run=run).order_by("id").values_list("file", "row", "field", "reason")
    )
    for file, row, field, reason in rows.iterator(2000):
        yield writer.writerow([_plain(file), "" if row is None else row, _plain(field), _plain(reason)])


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
