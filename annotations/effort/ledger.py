"""The ledger: for every submitted review how long its person was active, what they did, and what became of the drafts.

Read only. Active time is worked out from the moments each time it is asked for, so that a new limit on idle time holds
for the past as well.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

import numpy as np
from django.conf import settings
from django.db.models import F, Q, QuerySet

from annotations.effort.models import Activity
from annotations.reviews.models import AnswerChange, ChangeKind, Purpose, Review, ReviewOutcome
from annotations.statistics.active import active_us

CHUNK: Final = 5000
FEWEST_MOMENTS: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Arm(StrEnum):
    """On which side of the comparison a review stands, or why on none.

    MODEL: drawn to see the model's draft; BLIND: drawn to see none, though there is one; UNDRAFTED: no model had
    answered the case by then; UNDRAWN: nothing was drawn for the case in time; SECOND_PASS: the second of two people,
    who are shown other things; LOOKED_OVER: a second look or an adjudication, which begin from answers; GOLD: a known
    case.
    """

    MODEL = "model"
    BLIND = "blind"
    UNDRAFTED = "undrafted"
    UNDRAWN = "undrawn"
    SECOND_PASS = "second_pass"
    LOOKED_OVER = "looked_over"
    GOLD = "gold"


_BY_PURPOSE: Final = {
    Purpose.DOUBLE: Arm.SECOND_PASS,
    Purpose.SECOND: Arm.LOOKED_OVER,
    Purpose.ADJUDICATE: Arm.LOOKED_OVER,
    Purpose.GOLD: Arm.GOLD,
}


@dataclass(frozen=True)
class Asked:
    """What the ledger is narrowed to. `corpora`: those open to whoever asks, None for all. Days: UTC, both inside."""

    corpora: Collection[int] | None = None
    corpus: int | None = None
    guideline: int | None = None
    source: str | None = None
    person: str | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class Changed:
    """What became of one draft. `distance` 0 is the same; of an onset it is seconds, else a share. Shifts: person minus
    draft, microseconds.
    """

    change: str
    distance: float
    start_shift_us: int | None
    end_shift_us: int | None


@dataclass
class Entry:
    """One review. `active_us` None: nothing was measured, which is not the same as no time.

    `lead_seconds`: what Label Studio reports, idle time included. `typed`: keys that wrote or erased text.
    """

    review: int
    case: int
    corpus: int
    corpus_name: str
    video: str
    source: str
    recording: tuple[int, str]
    person: int
    username: str
    submitted_at: datetime
    lead_seconds: float | None
    arm: Arm
    active_us: int | None = None
    moments: int = 0
    keys: int = 0
    typed: int = 0
    changes: dict[str, Changed] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Every draft that was shown was left as it was. False where nothing was shown."""
        return bool(self.changes) and all(one.change == ChangeKind.ACCEPTED for one in self.changes.values())

    @property
    def keystroke_free(self) -> bool:
        """Accepted without a key that wrote or erased text; only where activity was measured."""
        return self.accepted and self.active_us is not None and self.typed == 0


def idle_limit_us() -> int:
    """A pause beyond this is idle: set in one place, ACTIVITY_IDLE_SECONDS of the settings."""
    return int(settings.ACTIVITY_IDLE_SECONDS) * 1_000_000


def entries(asked: Asked, *, limit_us: int | None = None) -> list[Entry]:
    """The ledger, oldest submission first."""
    reviews = _narrowed(asked)
    drafted = set(
        reviews.filter(case__answers__author_kind="model", case__answers__created_at__lte=F("submitted_at"))
        .order_by()
        .values_list("pk", flat=True)
        .distinct()
    )
    rows: Any = reviews.order_by("submitted_at", "id").values_list(
        "id", "case_id", "case__corpus_id", "case__corpus__name", "case__video__name", "case__video__source",
        "case__video__recording", "reviewer_id", "reviewer__username", "submitted_at", "lead_seconds",
        "purpose", "case__draw__blind", "case__draw__late",
    )  # fmt: skip
    found = [
        Entry(
            pk, case, corpus, corpus_name, video, source, (corpus, recording or f"video {video}"), person, username,
            at, lead, _arm(purpose, None if late else blind, pk in drafted),
        )
        for pk, case, corpus, corpus_name, video, source, recording, person, username, at, lead, purpose, blind, late
        in rows.iterator(chunk_size=CHUNK)
    ]  # fmt: skip
    _add_changes(found, reviews)
    _add_activity(found, idle_limit_us() if limit_us is None else limit_us)
    return found


def _narrowed(asked: Asked) -> QuerySet[Review]:
    narrowed = Q(outcome=ReviewOutcome.SUBMITTED)
    if asked.corpora is not None:
        narrowed &= Q(case__corpus__in=asked.corpora)
    if asked.corpus is not None:
        narrowed &= Q(case__corpus=asked.corpus)
    if asked.guideline is not None:
        narrowed &= Q(case__guideline=asked.guideline)
    if asked.source is not None:
        narrowed &= Q(case__video__source=asked.source)
    if asked.person is not None:
        narrowed &= Q(reviewer__username=asked.person)
    if asked.since is not None:
        narrowed &= Q(submitted_at__gte=datetime.combine(asked.since, time(), UTC))
    if asked.until is not None:
        narrowed &= Q(submitted_at__lt=datetime.combine(asked.until + timedelta(days=1), time(), UTC))
    return Review.objects.filter(narrowed)


def _arm(purpose: str | None, blind: bool | None, drafted: bool) -> Arm:
    apart = _BY_PURPOSE.get(Purpose(purpose)) if purpose else None
    if apart is not None:
        return apart
    if blind is None:
        return Arm.UNDRAWN
    if not drafted:
        return Arm.UNDRAFTED
    return Arm.BLIND if blind else Arm.MODEL


def _add_changes(found: Iterable[Entry], reviews: QuerySet[Review]) -> None:
    by_review = {entry.review: entry for entry in found}
    rows: Any = AnswerChange.objects.filter(review__in=reviews.order_by().values("pk")).values_list(
        "review_id", "kind", "change", "distance", "start_shift_us", "end_shift_us"
    )
    for review, kind, *changed in rows.iterator(chunk_size=CHUNK):
        entry = by_review.get(review)
        if entry is not None:
            entry.changes[kind] = Changed(*changed)


@dataclass
class _Held:
    """One person's moments, what they were about, and the batches with their counts."""

    moments: list[int] = field(default_factory=list)
    cases: list[int] = field(default_factory=list)
    batches: list[tuple[int, int, int, int]] = field(default_factory=list)


def microseconds(at: datetime) -> int:
    """Since 1970."""
    return (at - _EPOCH) // _MICROSECOND


def _add_activity(found: list[Entry], limit_us: int) -> None:
    """Give each review the work that its person did at its case until they submitted it, since the review before."""
    people = {entry.person for entry in found}
    held: dict[int, _Held] = defaultdict(_Held)
    rows: Any = Activity.objects.filter(person__in=people).values_list(
        "person_id", "case_id", "moments_us", "keys", "typed"
    )
    for person, case, moments, keys, typed in rows.order_by().iterator(chunk_size=CHUNK):
        mine = held[person]
        mine.moments += moments
        mine.cases += [case] * len(moments)
        mine.batches.append((case, moments[0], keys, typed))
    ends = _ends(found, people)
    for person, mine in held.items():
        _share(mine, ends[person], limit_us)


@dataclass
class _Slots:
    """Of one person at one case: when each review was submitted, rising, and its entry; None where not asked for."""

    until: list[int] = field(default_factory=list)
    entries: list[Entry | None] = field(default_factory=list)


def _ends(found: list[Entry], people: Collection[int]) -> dict[int, dict[int, _Slots]]:
    """All reviews of these people at these cases, also those that were not asked for: they end a stretch of work."""
    asked = {entry.review: entry for entry in found}
    slots: dict[int, dict[int, _Slots]] = defaultdict(lambda: defaultdict(_Slots))
    rows: Any = (
        Review.objects.filter(
            reviewer__in=people, submitted_at__isnull=False, case__in={entry.case for entry in found}
        )
        .order_by("submitted_at", "id")
        .values_list("id", "case_id", "reviewer_id", "submitted_at")
    )
    for review, case, person, at in rows.iterator(chunk_size=CHUNK):
        slot = slots[person][case]
        slot.until.append(microseconds(at))
        slot.entries.append(asked.get(review))
    return slots


def _share(mine: _Held, slots: dict[int, _Slots], limit_us: int) -> None:
    moments, cases, pauses = active_us(
        np.array(mine.moments, dtype=np.int64), np.array(mine.cases, dtype=np.int64), limit_us=limit_us
    )
    by_case = np.argsort(cases, kind="stable")
    begins = np.searchsorted(cases[by_case], list(slots), side="left")
    ends = np.searchsorted(cases[by_case], list(slots), side="right")
    for slot, begin, end in zip(slots.values(), begins, ends, strict=True):
        here = by_case[begin:end]
        place = np.searchsorted(np.array(slot.until, dtype=np.int64), moments[here], side="left")
        for number, entry in enumerate(slot.entries):
            if entry is None:
                continue
            within = here[place == number]
            entry.moments = len(within)
            if len(within) >= FEWEST_MOMENTS:
                left = slot.until[number] - moments[within]  # what follows a submission is not its work
                entry.active_us = int(np.minimum(pauses[within], left).sum())
    for case, first, keys, typed in mine.batches:
        slot_of = slots.get(case)
        if slot_of is None:
            continue
        number = int(np.searchsorted(slot_of.until, first, side="left"))
        entry = slot_of.entries[number] if number < len(slot_of.entries) else None
        if entry is not None:
            entry.keys += keys
            entry.typed += typed
