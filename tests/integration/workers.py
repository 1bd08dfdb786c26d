"""Real GPU workers on real services, for tests that hurt them: PostgreSQL, a broker, the ticker, and workers to kill.

The test's own Django works on the same database, so that runs are started with the real services; what the outcome
is judged by is asked in plain SQL.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from django.db import connections
from django.utils import timezone

from annotations.cases.models import Case
from annotations.corpora.models import Media
from crashdesk.embedded.testing import Services
from crashdesk.jobs.models import Job
from crashdesk.storage.files import sha256_of
from model_assist.predictions.models import PredictionRun
from model_assist.predictions.services import start_run
from model_assist.registry.models import ModelVersion
from tests.factories import make_case, make_corpus, make_guideline, make_media, make_video
from tests.shared_data import ROOT
from tests.unit.annotations.corpora.media.clips import write_clip

LEASE_SECONDS, FRAMES_SECONDS, ATTEMPTS, CLIPS_PER_BATCH = 30, 5, 2, 2
"""A long lease: a stalled test machine must not look like a dead worker. A killed one's leases are ended by hand."""
PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.003


def wait_until(what: str, true: Callable[[], object], *, timeout_s: float = PATIENCE_SECONDS) -> None:
    """Poll until `true` says so. Raises TimeoutError that names what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(POLL_SECONDS)


@contextmanager
def on_database(url: str) -> Iterator[None]:
    """This process's Django works on another database meanwhile."""
    used: dict[str, Any] = connections.settings["default"]
    before, parts = dict(used), urlsplit(url)
    connections.close_all()
    used.update(
        NAME=parts.path.strip("/"), USER=parts.username, PASSWORD=parts.password, HOST=parts.hostname,
        PORT=str(parts.port),
    )  # fmt: skip
    try:
        yield
    finally:
        connections.close_all()
        used.clear()
        used.update(before)


@dataclass
class Worker:
    """A Celery worker process with its log."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    @property
    def name(self) -> str:
        """As its jobs know it."""
        return f"{os.uname().nodename}:{self.pid}"

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def is_ready(self) -> bool:
        """Raises RuntimeError when it has ended."""
        if not self.is_alive:
            raise RuntimeError(
                f"the worker ended with status {self.process.returncode}: {self.said()[-2000:]}"
            )
        return " ready." in self.said()

    def stop(self) -> None:
        """SIGSTOP: nothing moves until it goes on or is killed."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def stacks(self) -> str:
        """The names of the functions it is in, all threads; it stands still afterwards.

        Celery prints them on SIGUSR1, in one piece.
        """
        before = len(self.said())
        os.kill(self.pid, signal.SIGUSR1)
        wait_until("its stacks are printed", lambda: "LOCAL VARIABLES" in self.said()[before:])
        self.stop()
        return " ".join(re.findall(r"in (\w+)\n", self.said()[before:]))

    def decoders(self) -> list[int]:
        """Process ids of all its descendants."""
        return descendants(self.pid)


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def opened(pid: int) -> set[str]:
    """Paths of the files that a process has open."""
    paths: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                paths.add(os.readlink(entry))
    return paths


@dataclass
class Plant:
    """Everything that runs, and what to do to it."""

    services: Services
    home: Path
    storage: Path
    workers: list[Worker] = field(default_factory=list)

    def __post_init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CRASHDESK_")}
        self.env = kept | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "platform")]),
            "DJANGO_SETTINGS_MODULE": "crashdesk.settings",
            "CRASHDESK_HOME": str(self.home / "workers"),
            "CRASHDESK_DATABASE_URL": self.services.database_url,
            "CRASHDESK_BROKER_URL": str(self.services.broker_url),
            "CRASHDESK_STORAGE_URL": str(self.storage),
            "CRASHDESK_FEATURE_CACHE": str(self.features),
            "CRASHDESK_FEATURE_CACHE_MB": "100",
            "CRASHDESK_CLIPS_PER_BATCH": str(CLIPS_PER_BATCH),
            "CRASHDESK_FRAMES_TIMEOUT_SECONDS": str(FRAMES_SECONDS),
            "CRASHDESK_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
            "CRASHDESK_JOB_MAX_ATTEMPTS": str(ATTEMPTS),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
        }

    @property
    def features(self) -> Path:
        """The workers' common feature cache."""
        return self.home / "features"

    def start(self, queues: str, *options: str) -> Worker:
        """Start a worker process; it is not ready yet."""
        name = f"{queues.split(',')[0]}-{len(self.workers)}"
        command = (
            *(
                sys.executable,
                "-m",
                "celery",
                "-A",
                "crashdesk",
                "worker",
                "-Q",
                queues,
                "-n",
                f"{name}@here",
            ),
            *("-P", "threads", "-c", "1", "-l", "INFO", "--without-gossip", "--without-mingle", *options),
        )
        log = self.home / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def gpu_workers(self, count: int = 1) -> list[Worker]:
        """So many living GPU workers, ready for work: started where they are missing, ended where there are more."""
        alive = [worker for worker in self.workers[1:] if worker.is_alive]
        for extra in alive[count:]:
            self.kill(extra)
        alive = alive[:count] + [self.start("gpu") for _ in range(count - len(alive))]
        for worker in alive:
            wait_until("the worker is ready", lambda worker=worker: worker.is_ready)
        return alive

    def kill(self, worker: Worker) -> None:
        """SIGKILL; and its leases run out, as they would in LEASE_SECONDS."""
        worker.kill()
        past = timezone.now() - timedelta(seconds=1)
        Job.objects.filter(worker=worker.name, state="running").update(lease_until=past)

    def end(self) -> None:
        for worker in self.workers:
            left = worker.decoders()
            worker.process.kill()
            worker.process.wait()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a plain SQL query on a connection of its own."""
        with closing(psycopg2.connect(self.services.database_url)) as link, link, link.cursor() as cursor:
            cursor.execute(sql, values)
            return list(cursor.fetchall())


def make_clips(storage: Path, count: int) -> list[Media]:
    """Stored clips of 8 seconds, all different, with their media rows."""
    made = []
    for number in range(count):
        path = storage / f"clip-{number}.mp4"
        ticks = [number * 7 % 40 + tick for tick in range(200)]
        write_clip(path, ticks, Fraction(1, 25), rate=Fraction(25), size=(320, 180))
        with path.open("rb") as stream:
            sha256, size = sha256_of(stream)
        made.append(make_media(seconds=8, sha256=sha256, size=size, storage_name=path.name))
    return made


@dataclass
class Run:
    """A prediction run over some clips, watched from outside."""

    plant: Plant
    row: PredictionRun
    cases: list[Case]
    clips: list[Media]

    @classmethod
    def over(cls, plant: Plant, clips: list[Media], model: ModelVersion) -> "Run":
        """Start a run over one case per clip. Its wake-up goes nowhere: the ticker finds it."""
        corpus, guideline = make_corpus(), make_guideline()
        cases = [make_case(video=make_video(corpus, media=media)) for media in clips]
        row = start_run(corpus=corpus, guideline=guideline, by=None, model_version=model)
        Job.objects.filter(group=row.group).update(woken_at=None)
        return cls(plant, row, cases, clips)

    def job_of(self, case: Case) -> Job:
        return Job.objects.get(group=self.row.group, args__case_prediction=self.prediction_id(case))

    def prediction_id(self, case: Case) -> int:
        return int(self.row.case_predictions.get(case=case).pk)

    def path_of(self, case: Case) -> str:
        media = case.video.media
        assert media is not None
        return str(self.plant.storage / media.storage_name)

    def states(self) -> dict[str, int]:
        sql = 'SELECT state, count(*) FROM jobs_job WHERE "group" = %s GROUP BY state'
        return {str(state): int(count) for state, count in self.plant.query(sql, self.row.group)}

    def wait_for_end(self) -> None:
        """Until no job of the run waits or runs."""
        wait_until("the run ends", lambda: not {"queued", "running", "paused"} & set(self.states()))

    def outcome(self) -> dict[int, tuple[str, str, int, int, int]]:
        """By case: status, its job's state, attempts, answers, and kinds answered, as the tables say."""
        sql = """
            SELECT c.id, c.status, j.state, j.attempts,
                   (SELECT count(*) FROM cases_answer a WHERE a.case_id = c.id AND a.author_kind = 'model'),
                   (SELECT count(DISTINCT a.kind) FROM cases_answer a WHERE a.case_id = c.id)
            FROM predictions_caseprediction p
            JOIN cases_case c ON c.id = p.case_id
            JOIN jobs_job j ON (j.args ->> 'case_prediction')::bigint = p.id AND j.kind = 'predict_case'
            WHERE p.run_id = %s ORDER BY c.id
        """
        return {row[0]: row[1:] for row in self.plant.query(sql, self.row.pk)}

    def check_complete(self, *, but: "dict[int, tuple[str, str]] | None" = None) -> None:
        """Exactly one set of answers for each case, nothing left in between; `but`: the few that ended otherwise."""
        found, others = self.outcome(), but or {}
        assert len(found) == len(self.cases)
        for case in self.cases:
            status, state, attempts, answers, kinds = found[case.pk]
            if case.pk in others:
                assert (status, state, answers) == (*others[case.pk], 0)
            else:
                assert (status, state, answers, kinds) == ("predicted", "done", 6, 6), found
            assert 1 <= attempts <= ATTEMPTS
        stuck = "SELECT count(*) FROM jobs_job WHERE token IS NOT NULL OR lease_until IS NOT NULL"
        assert self.plant.query(stuck) == [(0,)]


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
