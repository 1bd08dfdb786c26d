"""The report on effort: both arms compared, and how long and how much was changed, by person, kind, arm and time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import fmean, median
from typing import Final, Literal

from annotations.cases.kinds import Kind
from annotations.effort.control import Comparison, compare
from annotations.effort.ledger import Arm, Asked, Entry, entries, idle_limit_us
from annotations.reviews.models import ChangeKind

Period = Literal["month", "week", "day"]

MOST_PEOPLE: Final = 100
MOST_PERIODS: Final = 60
MOST_CASES: Final = 50


@dataclass(frozen=True)
class Times:
    """Of some reviews. Seconds; None where nothing was measured. `lead_*`: Label Studio's, idle time included."""

    name: str
    reviews: int
    measured: int
    active_total: float | None
    active_mean: float | None
    active_median: float | None
    lead_told: int
    lead_mean: float | None
    lead_median: float | None
    typed_mean: float | None
    accepted: int
    keystroke_free: int


@dataclass(frozen=True)
class KindChanges:
    """What became of the drafts of one kind. `distance`: mean over those that were changed; shifts: seconds, person
    minus draft, medians; `moved`: median distance of either edge from the draft's, of changed times.
    """

    kind: str
    told: int
    accepted: int
    edited: int
    rewritten: int
    removed: int
    added: int
    distance: float | None
    start_shift: float | None
    end_shift: float | None
    moved: float | None


@dataclass(frozen=True)
class CaseTime:
    """One review of the longest."""

    case: int
    video: str
    corpus_name: str
    username: str
    arm: str
    active: float
    lead_seconds: float | None
    typed: int
    edits: int


@dataclass(frozen=True)
class Report:
    """Everything. `idle_seconds`: the limit in force. `edits_told`: reviews whose changes were recognised."""

    idle_seconds: float
    comparison: Comparison
    overall: Times
    edits_told: int
    edits_per_review: float | None
    arms: list[Times]
    people: list[Times]
    periods: list[Times]
    kinds: list[KindChanges]
    longest: list[CaseTime]
    left_off: dict[str, int]


def report(asked: Asked, *, period: Period | str = "month") -> Report:
    """Read the ledger and sum it up."""
    ledger = entries(asked)
    edited = [entry for entry in ledger if entry.changes]
    arms = _grouped(ledger, lambda entry: entry.arm.value)
    people = _grouped(ledger, lambda entry: entry.username)
    periods = _grouped(ledger, lambda entry: str(begin(entry.submitted_at.date(), period)))
    by_size = sorted(people, key=lambda one: (-one.reviews, one.name))
    by_time = sorted(periods, key=lambda one: one.name)
    order = [arm.value for arm in Arm]
    return Report(
        idle_seconds=idle_limit_us() / 1e6,
        comparison=compare(ledger),
        overall=times("all", ledger),
        edits_told=len(edited),
        edits_per_review=fmean(edits(entry) for entry in edited) if edited else None,
        arms=sorted(arms, key=lambda one: order.index(one.name)),
        people=by_size[:MOST_PEOPLE],
        periods=by_time[-MOST_PERIODS:],
        kinds=[_changes(kind, ledger) for kind in Kind.values],
        longest=_longest(ledger),
        left_off={
            "people": max(0, len(by_size) - MOST_PEOPLE),
            "periods": max(0, len(by_time) - MOST_PERIODS),
        },
    )


def begin(day: date, period: Period | str) -> date:
    """The first day of the month, the Monday of the week, or the day itself."""
    if period == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if period == "week" else day


def edits(entry: Entry) -> int:
    """How many drafts the review did not leave as they were."""
    return sum(one.change != ChangeKind.ACCEPTED for one in entry.changes.values())


def times(name: str, ledger: Sequence[Entry]) -> Times:
    """Sum some reviews up."""
    active = [entry.active_us / 1e6 for entry in ledger if entry.active_us is not None]
    typed = [entry.typed for entry in ledger if entry.active_us is not None]
    lead = [entry.lead_seconds for entry in ledger if entry.lead_seconds is not None]
    return Times(
        name=name, reviews=len(ledger), measured=len(active), active_total=sum(active) if active else None,
        active_mean=fmean(active) if active else None, active_median=median(active) if active else None,
        lead_told=len(lead), lead_mean=fmean(lead) if lead else None, lead_median=median(lead) if lead else None,
        typed_mean=fmean(typed) if typed else None, accepted=sum(entry.accepted for entry in ledger),
        keystroke_free=sum(entry.keystroke_free for entry in ledger),
    )  # fmt: skip


def _grouped(ledger: Iterable[Entry], key: Callable[[Entry], str]) -> list[Times]:
    members: dict[str, list[Entry]] = {}
    for entry in ledger:
        members.setdefault(key(entry), []).append(entry)
    return [times(name, held) for name, held in members.items()]


def _changes(kind: str, ledger: Iterable[Entry]) -> KindChanges:
    found = [entry.changes[kind] for entry in ledger if kind in entry.changes]
    changed = [one for one in found if one.change != ChangeKind.ACCEPTED]
    counts = {name: sum(one.change == name for one in found) for name in ChangeKind.values}
    starts = [one.start_shift_us / 1e6 for one in changed if one.start_shift_us is not None]
    ends = [one.end_shift_us / 1e6 for one in changed if one.end_shift_us is not None]
    moved = [abs(shift) for shift in starts + ends]
    return KindChanges(
        kind=kind, told=len(found), **counts, distance=fmean(one.distance for one in changed) if changed else None,
        start_shift=median(starts) if starts else None, end_shift=median(ends) if ends else None,
        moved=median(moved) if moved else None,
    )  # fmt: skip


def _longest(ledger: Iterable[Entry]) -> list[CaseTime]:
    measured = [(entry.active_us, entry) for entry in ledger if entry.active_us]
    measured.sort(key=lambda one: (-one[0], one[1].review))
    return [
        CaseTime(
            entry.case, entry.video, entry.corpus_name, entry.username, entry.arm.value, active / 1e6,
            entry.lead_seconds, entry.typed, edits(entry),
        )
        for active, entry in measured[:MOST_CASES]
    ]  # fmt: skip
