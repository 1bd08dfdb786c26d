"""Prediction runs for people: the list, what a run was asked, how far it is, and its cases one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.http import QueryDict

from annotations.cases.kinds import Kind
from crashdesk.audit.services import history
from crashdesk.jobs.models import JobState
from model_assist.predictions.models import PredictionRun, Priority
from model_assist.predictions.progress import Progress, counts_of, progress_of, state_of
from model_assist.predictions.run_cases import SET_ASIDE, RunCase, jobs_in, rows_of

SHOWN_RUNNING: Final = 8
NAMED_CASES: Final = 5
SYSTEM: Final = "system"
TABS: Final = {
    "": "all",
    JobState.FAILED: "failed",
    SET_ASIDE: "set aside",
    JobState.RUNNING: "at work",
    JobState.QUEUED: "waiting",
    JobState.PAUSED: "held",
    JobState.DONE: "done",
    JobState.CANCELLED: "cancelled",
}


@dataclass(frozen=True)
class RunRow:
    """One line of the list of runs."""

    run: PredictionRun
    state: str
    done: int
    failed: int
    ended: int
    total: int


def run_rows(runs: Sequence[PredictionRun]) -> list[RunRow]:
    """What the list says of these runs, in one more query however many they are."""
    counted = counts_of(runs)
    return [_row(run, counted[run.pk]) for run in runs]


def _row(run: PredictionRun, counts: dict[str, int]) -> RunRow:
    left = counts[JobState.QUEUED] + counts[JobState.PAUSED] + counts[JobState.RUNNING]
    total = sum(counts.values())
    return RunRow(
        run=run, state=state_of(run, counts), done=counts[JobState.DONE], failed=counts[JobState.FAILED],
        ended=total - left, total=total,
    )  # fmt: skip


@dataclass(frozen=True)
class Steps:
    """What may be done to a run as it stands."""

    pause: bool
    resume: bool
    cancel: bool
    retry: bool


@dataclass(frozen=True)
class Shown:
    """The part of a run's page that moves. `live`: it will change by itself. `held_by` '' while it is not held."""

    progress: Progress
    steps: Steps
    running: list[RunCase]
    live: bool
    held_by: str = ""
    held_because: str = ""

    @property
    def percent(self) -> float:
        """Cases that have ended, 0 to 100; a run without any is over."""
        return 100 * self.progress.ended / self.progress.total if self.progress.total else 100.0

    @property
    def undone(self) -> int:
        """Cases that ended without an answer."""
        return self.progress.counts[JobState.FAILED] + self.progress.counts[JobState.CANCELLED]


def shown(run: PredictionRun) -> Shown:
    """How far the run is, what may be done, and the cases at work."""
    found = progress_of(run)
    running = jobs_in(run, JobState.RUNNING)[:SHOWN_RUNNING] if found.counts[JobState.RUNNING] else []
    undone = found.counts[JobState.FAILED] + found.counts[JobState.CANCELLED]
    steps = Steps(
        pause=found.state in ("queued", "running"), resume=found.state == "paused",
        cancel=found.state in ("queued", "running", "paused"), retry=undone > 0,
    )  # fmt: skip
    by, because = _held(run) if found.state == "paused" else ("", "")
    return Shown(
        progress=found, steps=steps, running=rows_of(list(running)), live=found.left > 0, held_by=by,
        held_because=because,
    )  # fmt: skip


def _held(run: PredictionRun) -> tuple[str, str]:
    """Who holds the run, and why."""
    event = history(run).filter(verb="prediction_run.paused").first()
    return ("", "") if event is None else (event.actor, str(event.data.get("reason", "")))


@dataclass(frozen=True)
class Tab:
    """A choice of which cases are listed."""

    state: str
    words: str
    count: int


def tabs(found: Progress, chosen: str) -> list[Tab]:
    """States that hold cases, with how many; the chosen one always. Those set aside are among the failed."""
    counts = {"": found.total, **found.counts}
    return [
        Tab(state=str(state), words=words, count=counts.get(state, 0))
        for state, words in TABS.items()
        if state != SET_ASIDE and (counts.get(state) or state == chosen or state == "")
    ]


def asked(run: PredictionRun) -> list[str]:
    """How the run's cases were chosen, in words."""
    filters = dict(run.filters)
    ids = filters.pop("case_ids", None)
    limit, again, answers = (filters.pop(name, None) for name in ("limit", "again", "answers"))
    said = [
        f"{name.replace('_', ' ')} {', '.join(map(str, value)) if isinstance(value, list) else value}".replace(
            "_", " "
        )
        if name == "status"
        else f"{name.replace('_', ' ')} “{value}”"
        for name, value in filters.items()
    ]
    if answers:
        said.append("answered by this model" if answers == "has" else "not answered by this model")
    if ids is not None:
        named = ", ".join(map(str, ids[:NAMED_CASES]))
        said.append(
            f"only cases {named}" + (f" and {len(ids) - NAMED_CASES} more" if len(ids) > NAMED_CASES else "")
        )
    if limit:
        said.append(f"at most {limit}")
    if again:
        said.append("answered ones too")
    return said or ["every usable case"]


def kinds_of(run: PredictionRun) -> list[str]:
    """What is asked, in words; one word for all six."""
    if len(run.kinds) == len(Kind.values):
        return ["all six questions"]
    return [kind.replace("_", " ") for kind in run.kinds]


def lasting(seconds: float | None) -> str:
    """A length of time for people: 1.72 -> '1.7 s', 250 -> '4 min 10 s', 9000 -> '2 h 30 min', 200000 -> '2 d 7 h'."""
    if seconds is None:
        return "—"
    if seconds < 10:
        return f"{max(0.0, seconds):.2g} s"
    whole = round(seconds)
    for unit, size, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {below}" if rest else "")
    return f"{whole} s"


def body_of(form: QueryDict) -> dict[str, object]:
    """The start form's fields as the body that the API takes; empty ones are left out."""
    texts = {name: str(form.get(name, "")).strip() for name in form}
    narrowing = ("source", "recording", "split", "search", "max_rank", "answers")
    filters: dict[str, object] = {name: texts[name] for name in narrowing if texts.get(name)}
    if form.getlist("status"):
        filters["status"] = form.getlist("status")
    named_once = ("corpus", "guideline", "model_version", "limit")
    body: dict[str, object] = {name: texts[name] for name in named_once if texts.get(name)}
    body["kinds"] = form.getlist("kinds")
    body["priority"] = form.get("priority") or Priority.NORMAL.value
    if filters:
        body["filters"] = filters
    named = texts.get("case_ids", "").replace(",", " ").replace("#", " ").split()
    if named:
        body["case_ids"] = named
    if form.get("again"):
        body["again"] = True
    return body


def complaints(wrong: object) -> list[str]:
    """What is wrong with a request's fields, a line each: {"filters": {"status": ["x"]}} -> ['Filters, status: x']."""
    lines = []
    for names, text in _leaves(wrong, ()):
        where = ", ".join(name for name in names if not name.isdigit()).replace("_", " ").capitalize()
        lines.append(f"{where}: {text}" if where else text)
    return lines


def _leaves(wrong: object, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(wrong, Mapping):
        for name, inner in wrong.items():
            yield from _leaves(inner, (*names, str(name)))
    elif isinstance(wrong, list | tuple):
        for inner in wrong:
            yield from _leaves(inner, names)
    else:
        yield names, str(wrong)
