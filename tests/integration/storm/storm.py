"""The storm: eight reviewers at work, webhooks going astray, processes being killed; then both sides are compared."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from annotations.cases.models import CaseStatus
from annotations.corpora.models import Corpus
from annotations.labelstudio.models import LabelStudioProject, LabelStudioTask
from annotations.labelstudio.provision import SECRET_HEADER, WEBHOOK_PATH, webhook_secret
from annotations.labelstudio.push import newest_guideline, push_corpus
from crashdesk.audit.models import AuditEvent
from crashdesk.jobs.models import Job
from tests.factories import (
    CRASH,
    NO_CRASH,
    make_case,
    make_corpus,
    make_guideline,
    make_media,
    make_user,
    make_video,
)
from tests.integration.storm.checker import Verdict, compare, rows
from tests.integration.storm.hooks import knock
from tests.integration.storm.reviewers import Did, Reviewer, sign_up
from tests.integration.storm.servers import Scene, scene
from tests.integration.workers import Worker, wait_until

REVIEWERS = 8
STUDIO_DIES_AT = (0.25, 0.65)
WORKER_DIES_AT = (0.45, 0.85)
CALM_SECONDS = 900.0
KNOCKS = 200
NEVER_NOTED = """
SELECT t.id FROM task t JOIN task_completion c ON c.task_id = t.id WHERE t.project_id = ANY(%s)
GROUP BY t.id, t.updated_at HAVING max(c.updated_at) > t.updated_at
"""


@dataclass
class Report:
    """What happened, for people; `verdict` is what counts."""

    cases: int
    seconds: dict[str, float] = field(default_factory=dict)
    did: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    hooks: dict[str, int] = field(default_factory=dict)
    hook_ms: dict[str, float] = field(default_factory=dict)
    hook_ms_before: dict[str, float] = field(default_factory=dict)
    hook_ms_without_broker: dict[str, float] = field(default_factory=dict)
    never_noted: int = 0
    missed_by_polls: int = 0
    comparisons: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    def lines(self) -> Iterator[str]:
        yield f"{self.cases} cases, {REVIEWERS} reviewers, {self.retries} requests tried again"
        yield "habits: " + _told(self.did)
        yield "webhooks: " + _told(self.hooks)
        yield f"CrashDesk's answer to a webhook before the storm, ms: {_told(self.hook_ms_before)}"
        yield f"the same in the storm, ms: {_told(self.hook_ms)}"
        yield f"the same with the broker killed, ms: {_told(self.hook_ms_without_broker)}"
        yield f"seconds: {_told(self.seconds)}"
        yield f"{self.never_noted} tasks whose last change Label Studio saved but, being killed, never noted"
        yield f"{self.comparisons} comparisons of the whole; {self.missed_by_polls} changes were new to them"
        yield "compared: " + _told(dict(self.verdict.counts))
        yield f"{len(self.verdict.wrong)} disagreements"
        yield from self.verdict.wrong[:50]


def _told(numbers: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in numbers.items()
    )


def run(home: Path, *, cases: int, seed: int = 7) -> Report:
    """Everything from an empty Label Studio to the checker's verdict."""
    report = Report(cases)
    with _timed(report, "set up"):
        context = scene(home, seed=seed)
        made = context.__enter__()
    try:
        with _timed(report, "make and push cases"):
            corpus, tasks = _pushed(made, cases)
        reviewers = _people(made, seed)
        headers = {SECRET_HEADER: webhook_secret(), "Content-Type": "application/json"}
        report.hook_ms_before = _knocks(made.web_url + WEBHOOK_PATH, headers)
        worker = made.start_worker()
        with _timed(report, "storm"):
            _storm(made, worker, reviewers, tasks)
        with _timed(report, "calm"):
            _calm(made, corpus)
        _tell(made, corpus, reviewers, report)
        assert made.plant.services.broker is not None
        made.plant.services.broker.stop()
        report.hook_ms_without_broker = _knocks(made.web_url + WEBHOOK_PATH, headers)
    finally:
        context.__exit__(None, None, None)
    return report


@contextmanager
def _timed(report: Report, name: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        report.seconds[name] = time.monotonic() - started


def _pushed(made: Scene, cases: int) -> tuple[Corpus, list[int]]:
    """So many drafted cases on show, at four frame rates; their task ids."""
    corpus, guideline = make_corpus("Storm"), make_guideline()
    clips = [
        make_media(seconds=8, fps=fps)
        for fps in (Fraction(30), Fraction(25), Fraction(30000, 1001), Fraction(24))
    ]
    for number in range(cases):
        video = make_video(corpus, media=clips[number % len(clips)])
        said = NO_CRASH if number % 5 == 4 else CRASH
        make_case(CaseStatus.PREDICTED, video=video, guideline=guideline, said=said)
    report = push_corpus(corpus, newest_guideline(corpus), client=made.client, by=None)
    assert (report.pushed, report.refused) == (cases, [])
    ids = LabelStudioTask.objects.filter(case__corpus=corpus).order_by("id").values_list("task_id", flat=True)
    return corpus, [pk for pk in ids if pk is not None]


def _people(made: Scene, seed: int) -> list[Reviewer]:
    invitation = made.client.get("/api/invite")["invite_url"]
    return [sign_up(made.studio.url, invitation, make_user().email, seed) for _ in range(REVIEWERS)]


def _storm(made: Scene, worker: Worker, reviewers: list[Reviewer], tasks: list[int]) -> None:
    stop, counted = threading.Event(), threading.Semaphore(0)
    failed: list[BaseException] = []

    def at_work(number: int) -> None:
        try:
            other = reviewers[(number + 1) % REVIEWERS]
            reviewers[number].work(tasks[number::REVIEWERS], other, counted.release, stop)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=at_work, args=[number]) for number in range(REVIEWERS)]
    for thread in threads:
        thread.start()
    plan = [(share, made.studio) for share in STUDIO_DIES_AT] + [(share, None) for share in WORKER_DIES_AT]
    finished = 0
    try:
        for share, victim in sorted(plan, key=lambda one: one[0]):
            while finished < share * len(tasks) and not failed:
                finished += counted.acquire(timeout=1.0)
            if failed:
                break
            if victim is not None:
                victim.kill()
                victim.start()
            else:
                worker.kill()
                worker = made.start_worker()
    finally:
        if failed:
            stop.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


def _calm(made: Scene, corpus: Corpus) -> None:
    """Until CrashDesk has nothing more to do by itself: all was polled since the end, and what was due is compared."""
    end = made.client.now()

    def calm() -> bool:
        time.sleep(0.5)
        projects = LabelStudioProject.objects.filter(corpus=corpus)
        behind = projects.filter(polled_until__lt=end) | projects.filter(check_due=True)
        return not behind.exists() and not Job.objects.filter(state__in=["queued", "running"]).exists()

    wait_until("CrashDesk has nothing more to do", calm, timeout_s=CALM_SECONDS)


def _tell(made: Scene, corpus: Corpus, reviewers: list[Reviewer], report: Report) -> None:
    projects = [project.linked_id for project in LabelStudioProject.objects.filter(corpus=corpus)]
    studio = made.studio.database_url
    report.verdict = compare(
        studio=studio, crashdesk=made.plant.services.database_url, projects=projects, corpus=corpus.pk
    )
    for reviewer in reviewers:
        report.retries += reviewer.retries
        for task, did in reviewer.did.items():
            report.did[did.habit] = report.did.get(did.habit, 0) + 1
            report.verdict.wrong += _as_remembered(studio, task, did)
    report.never_noted = len(rows(studio, NEVER_NOTED, projects))
    report.hooks = dict(made.chaos.counts)
    report.hook_ms = spread(made.chaos.seconds)
    report.comparisons = Job.objects.filter(kind="labelstudio_reconcile", state="done").count()
    found = AuditEvent.objects.filter(verb="labelstudio.reconciled").values_list("data__found", flat=True)
    report.missed_by_polls = sum(counts.get("labelstudio_missed", 0) for counts in found)


def _as_remembered(studio: str, task: int, did: Did) -> list[str]:
    """Whether Label Studio has what the reviewer did last: nothing that was acknowledged may be lost there either."""
    held = rows(
        studio,
        "SELECT c.result, c.was_cancelled FROM task_completion c JOIN htx_user u ON u.id = c.completed_by_id "
        "WHERE c.task_id = %s AND u.email = %s",
        task,
        did.email,
    )
    wanted = [] if did.result is None else [{"result": did.result, "was_cancelled": did.skipped}]
    return [] if held == wanted else [f"task {task}: {did.email} did {did.habit}, Label Studio has {held}"]


def _knocks(url: str, headers: dict[str, str]) -> dict[str, float]:
    seconds = []
    for _ in range(KNOCKS):
        status, took = knock(url, headers, b"{}")
        assert status == 204
        seconds.append(took)
    return spread(seconds)


def spread(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: median, 95 and 99 of a hundred, the slowest."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {
        name: 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()
    }
