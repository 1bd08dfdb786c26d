"""How far a run is, in few queries however many cases it has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min
from django.utils import timezone

from crashdesk.jobs.models import Job, JobState
from model_assist.predictions.control import OPEN, jobs_of
from model_assist.predictions.models import PredictionRun
from model_assist.predictions.pace import Rate, rate_of


@dataclass(frozen=True)
class Progress:
    """`counts`: cases by job state. `state`: queued, running, paused, stopping, cancelled, or done.

    eta_seconds: None while nothing tells how fast it goes. began_at: when the first case was claimed. ended_at: None
    while a case is open.
    """

    state: str
    counts: Mapping[str, int]
    total: int
    began_at: datetime | None
    ended_at: datetime | None
    rate: Rate | None
    eta_seconds: float | None

    @property
    def left(self) -> int:
        """Cases still to end."""
        return sum(self.counts[state] for state in OPEN)

    @property
    def ended(self) -> int:
        """Cases that have ended, however."""
        return self.total - self.left

    @property
    def eta(self) -> datetime | None:
        """When it would be over at this rate."""
        return None if self.eta_seconds is None else timezone.now() + timedelta(seconds=self.eta_seconds)


def counts_of(runs: Iterable[PredictionRun]) -> dict[int, dict[str, int]]:
    """Cases by job state of each run, by its id, in one query."""
    by_group = {run.group: run.pk for run in runs}
    found = {pk: _zeros() for pk in by_group.values()}
    rows = Job.objects.filter(group__in=by_group).order_by().values("group", "state").annotate(n=Count("pk"))
    for row in rows:
        found[by_group[row["group"]]][row["state"]] = row["n"]
    return found


def progress_of(run: PredictionRun) -> Progress:
    """How far a run is, how fast it goes, and when it would be over."""
    rows = jobs_of(run).order_by().values("state")
    told = list(rows.annotate(n=Count("pk"), first=Min("started_at"), last=Max("finished_at")))
    counts = _zeros() | {row["state"]: row["n"] for row in told}
    total = sum(counts.values())
    left = sum(counts[state] for state in OPEN)
    rate = rate_of(run, now=timezone.now()) if left else None
    return Progress(
        state=state_of(run, counts), counts=counts, total=total,
        began_at=min((row["first"] for row in told if row["first"]), default=None),
        ended_at=None if left else max((row["last"] for row in told if row["last"]), default=run.created_at),
        rate=rate, eta_seconds=60 * left / rate.per_minute if rate else None,
    )  # fmt: skip


def state_of(run: PredictionRun, counts: Mapping[str, int]) -> str:
    """One word for the run as a whole. Its jobs tell; the run itself only knows whether it is held or was stopped."""
    left = sum(counts[state] for state in OPEN)
    if not left:
        return "cancelled" if run.cancelled_at and counts[JobState.CANCELLED] else "done"
    waiting = counts[JobState.QUEUED] + counts[JobState.PAUSED]
    if run.cancelled_at and not waiting:  # else a single case of a stopped run was tried again
        return "stopping"
    if run.paused_at:
        return "paused"
    return "running" if sum(counts.values()) > waiting else "queued"


def _zeros() -> dict[str, int]:
    return {state: 0 for state in JobState.values}
