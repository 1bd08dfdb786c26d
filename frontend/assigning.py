"""What the board says of the newest job that gives many cases: how far it is, what was given, what was left and why."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from django.utils import timezone

from annotations.corpora.models import Corpus
from annotations.gold.queue_bulk import latest
from crashdesk.jobs.models import Job, JobState

OPEN: Final = (JobState.QUEUED, JobState.PAUSED, JobState.RUNNING)
SHOWN_FOR: Final = timedelta(days=1)
NAMED_AT_MOST: Final = 20
WHY: Final = {
    "already_assigned": "with somebody already",
    "pass_done": "answered already",
    "wrong_status": "in a status in which nobody is needed",
    "not_double": "not among those that two people answer",
    "both_passes": "answered, or to be answered, by the same person in the other pass",
    "own_case": "answered by the same person",
    "person_may_not": "not open to the person",
    "no_room": "without anybody who has room for more",
    "not_found": "gone",
    "unexpected": "could not be given; the server's log says why",
}


@dataclass(frozen=True)
class Left:
    """Cases that nobody was given for one reason; the first of them by id."""

    why: str
    count: int
    cases: list[int]

    @property
    def more(self) -> int:
        return self.count - len(self.cases)


@dataclass(frozen=True)
class Assigning:
    """`percent` None: it has not begun. `live`: it will change by itself."""

    job: Job
    percent: float | None
    stopping: bool
    given: int
    left: list[Left]
    error: str

    @property
    def live(self) -> bool:
        return self.job.state in OPEN


def assigning(job: Job) -> Assigning:
    """How far a job that gives cases is."""
    codes: dict[str, int] = job.result.get("codes", {})
    named: list[dict[str, str | int]] = job.result.get("left", [])
    percent = None
    if job.state == JobState.DONE:
        percent = 100.0
    elif job.progress_total:
        percent = min(100.0, 100 * job.progress_done / job.progress_total)
    return Assigning(
        job=job,
        percent=percent,
        stopping=job.cancel_requested and job.state in OPEN,
        given=int(job.result.get("given", 0)),
        left=[
            Left(
                WHY.get(code, code.replace("_", " ")),
                count,
                [int(one["case"]) for one in named if one["code"] == code][:NAMED_AT_MOST],
            )
            for code, count in sorted(codes.items(), key=lambda item: -item[1])
        ],
        error=job.error.strip() if job.state == JobState.FAILED else "",
    )


def assigning_in(corpus: Corpus) -> Assigning | None:
    """The corpus's newest one, while it is under way and for a day after it was asked for."""
    job = latest(corpus)
    if job is None or (job.state not in OPEN and job.created_at < timezone.now() - SHOWN_FOR):
        return None
    return assigning(job)
