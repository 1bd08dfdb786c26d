"""`make bench-ingest`: how fast annotation files come in, how that and the lists grow, and Label Studio beside it.

python -m benchmarks ingest [--quick] [--no-labelstudio]

Each import is `manage.py import_corpus` in a process of its own, on CrashChat's published validation rows under new
clip names (made-up rows where those are not beside the checkout), into an empty database.
"""

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import listing, media
from benchmarks.desk import Database, Desk, running_desk
from benchmarks.machine import facts
from benchmarks.replicas import Original, Written
from benchmarks.studio import Studio, installed, running_studio, size_of, tasks

ROUNDS = 3


@dataclass(frozen=True)
class Sizes:
    """How much is measured: growth by cases, the large import by rows, tasks posted at once and one by one."""

    growth: tuple[int, ...]
    rows: int
    tasks: int
    single_tasks: int
    requests: int


FULL = Sizes(growth=(1_000, 10_000, 100_000), rows=96_000, tasks=2_000, single_tasks=60, requests=40)
QUICK = Sizes(growth=(200, 1_000, 5_000), rows=6_000, tasks=200, single_tasks=10, requests=10)


@dataclass(frozen=True)
class Imported:
    """One import: wall seconds from its start to its report, and what its process took of the processor and memory,
    its start included, PostgreSQL not."""

    cases: int
    rows: int
    seconds: float
    cpu_s: float
    peak_mib: float

    @property
    def cases_per_second(self) -> float:
        return self.cases / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.cases:,} cases, {self.rows:,} rows in {self.seconds:.1f} s: {self.cases_per_second:,.0f} cases/s, "
            f"{self.rows / self.seconds:,.0f} rows/s; its process {self.cpu_s:.1f} s of a core, {self.peak_mib:.0f} MiB"
        )


def run_import(database: Database, written: Written, *, known: bool = False) -> Imported:
    """Import into the database; RuntimeError unless every row became an answer, or was one already (`known`).

    The time runs from the run's creation to its report, as in a worker that is up already: starting a process is
    not in it.
    """
    ended = database.manage("import_corpus", "bench", "crashchat", str(written.folder))
    state = "known" if known else "new"
    found = database.rows(
        "SELECT extract(epoch FROM finished_at - created_at), (report->'cases'->>%s)::int, "
        "(report->'answers'->>%s)::int FROM corpora_importrun ORDER BY id DESC LIMIT 1",
        [state, state],
    )
    ((seconds, cases, answers),) = found
    if (cases, answers) != (written.cases, written.rows):
        raise RuntimeError(
            f"{written} came in as {cases} {state} cases and {answers} answers: {ended.output}"
        )
    return Imported(cases, answers, float(seconds), ended.cpu_s, ended.peak_mib)


def large_import(desk: Desk, original: Original, folder: Path, rows: int) -> Imported:
    """The import of that many rows, and the same once more, when everything is known."""
    per_clip = sum(len(file.rows) for file in original.files) / len(original.clips)
    written = original.write(folder / "large", round(rows / per_clip))
    database = desk.database("bench_large")
    imported = run_import(database, written)
    print(f"import ({original.origin}, {written.megabytes:.0f} MB of JSON): {imported}", flush=True)
    print(f"the same files again: {run_import(database, written, known=True)}", flush=True)
    desk.drop(database)
    return imported


def against_labelstudio(desk: Desk, studio: Studio, original: Original, folder: Path, sizes: Sizes) -> None:
    """The same cases through Label Studio's bulk import and into CrashDesk, alternating; then one task a request."""
    made = tasks(original, sizes.tasks)
    written = original.write(folder / "paired", sizes.tasks)
    print(
        f"Label Studio {studio.version}: {sizes.tasks} tasks with a prediction of all answers, {size_of(made):.1f} MB"
    )
    ours, theirs = [], []
    project = 0
    for number in range(ROUNDS):
        database = desk.database(f"bench_pair_{number}")
        ours.append(run_import(database, written).seconds)
        desk.drop(database)
        project = studio.project(f"bench {number}")
        began = time.perf_counter()
        reply = studio.post(f"/api/projects/{project}/import", made)
        theirs.append(time.perf_counter() - began)
        if (reply["task_count"], reply["prediction_count"]) != (sizes.tasks, sizes.tasks):
            raise RuntimeError(f"Label Studio took other than it was given: {reply}")
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    desk_s, studio_s = statistics.median(ours), statistics.median(theirs)
    print(
        f"  one request: CrashDesk {sizes.tasks / desk_s:,.0f} cases/s, Label Studio {sizes.tasks / studio_s:,.0f} "
        f"tasks/s, {statistics.median(ratios):.1f} times as fast (pairs from {min(ratios):.1f} to {max(ratios):.1f})",
        flush=True,
    )
    began = time.perf_counter()
    for task in made[: sizes.single_tasks]:
        studio.post(f"/api/projects/{project}/import", [task])
    each = (time.perf_counter() - began) / sizes.single_tasks
    times_as_fast = each * sizes.tasks / desk_s
    print(
        f"  one request a task: Label Studio {1 / each:,.1f} tasks/s, CrashDesk {times_as_fast:.0f} times as fast",
        flush=True,
    )
    listing.labelstudio(studio, project, sizes.requests)


def growth(desk: Desk, original: Original, folder: Path, sizes: Sizes) -> None:
    """Import time and latency of lists at each size, each in a database of its own."""
    rates: list[float] = []
    for cases in sizes.growth:
        written = original.write(folder / f"growth-{cases}", cases)
        database = desk.database(f"bench_growth_{cases}")
        imported = run_import(database, written)
        rates.append(imported.cases_per_second)
        print(f"growth: {imported}", flush=True)
        listing.measure(database, sizes.requests)
        desk.drop(database)
        for file in written.folder.iterdir():
            file.unlink()
    slowest, fastest = min(rates), max(rates)
    print(
        f"growth from {sizes.growth[0]:,} to {sizes.growth[-1]:,} cases: cases/s differ by "
        f"{100 * (fastest / slowest - 1):.0f} % (largest against smallest: {100 * (rates[-1] / rates[0] - 1):+.0f} %)",
        flush=True,
    )


def main(arguments: Any) -> None:
    """All of it. `arguments`: quick, labelstudio."""
    sizes = QUICK if arguments.quick else FULL
    print(facts(), flush=True)
    original = Original()
    with TemporaryDirectory(prefix="crashdesk-rows-") as name, running_desk() as desk:
        folder = Path(name)
        large_import(desk, original, folder, sizes.rows)
        if not arguments.labelstudio:
            print("Label Studio was left out (--no-labelstudio)")
        elif not installed(desk.config.labelstudio_venv):
            print(f"Label Studio is not installed in {desk.config.labelstudio_venv}: make install")
        else:
            with running_studio(desk) as studio:
                against_labelstudio(desk, studio, original, folder, sizes)
        growth(desk, original, folder, sizes)
    media.main(quick=arguments.quick)
