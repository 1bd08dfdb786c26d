"""Who is asked for which case: giving, taking, keeping, giving back, expiring. See docs/assign.md.

Whoever gives a case locks its row first and then looks again who has it. The lock alone is not enough: PostgreSQL
skips rows that others hold (SKIP LOCKED), but a row that was let go a moment ago comes with what the statement saw when
it began, and the assignment that its last holder wrote is not in that. The second look is a statement of its own and
sees it. Should both be wrong one day, the unique key `assignment_open_once` refuses the second row.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from enum import IntEnum

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.access import require
from annotations.corpora.models import Corpus
from annotations.reviews.assignments_pool import corpora_for, let_go_by, not_of, waiting
from annotations.reviews.assignments_rules import PASSES, WORKABLE, counting_reviews, in_the_way
from annotations.reviews.draws import draw_of
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record, record_ids

EXPIRED_AT_ONCE = 500
LONGEST_KEPT = 3
"""So many times the plan's minutes a reservation lasts at most, however active its person is."""
TAKEN_IN_ORDER = (Purpose.ADJUDICATE, Purpose.SECOND, Purpose.DOUBLE, Purpose.ANNOTATE)
VERBS = {Way.TAKEN: "case.taken", Way.RETURNED: "case.handed_back"}


@transaction.atomic
def assign(
    *, case: Case, person: User, purpose: Purpose, way: Way, by: User | None, minutes: int | None = None,
    job_id: int | None = None,
) -> Assignment:  # fmt: skip
    """Ask somebody for a pass over a case. `minutes`: how long it is kept for them; None: until it is released.
    `job_id`: the job that does so.

    `by` None is the system. Asking anybody but oneself needs Action.ASSIGN.
    Raises Problem: not_allowed, not_found; person_may_not, wrong_status, not_double, both_passes, own_case, pass_done,
    already_assigned (fields: assignment, person).
    """
    if by is not None and by.pk != person.pk:
        require(by, Action.ASSIGN, case.corpus_id)
    case = Case.objects.select_for_update(no_key=True).get(pk=case.pk)
    problem = in_the_way(case=case, person=person, purpose=Purpose(purpose))
    if problem is not None:
        raise problem
    return _write(case, person, Purpose(purpose), Way(way), by=by, minutes=minutes, job_id=job_id)


def _write(
    case: Case, person: User, purpose: Purpose, way: Way, *, by: User | None, minutes: int | None,
    job_id: int | None = None,
) -> Assignment:  # fmt: skip
    """The row and its audit row. The caller holds the case's row and has looked that nothing is in the way."""
    if purpose in PASSES:
        draw_of(case)  # chance speaks before anybody sees the case
    expires = timezone.now() + timedelta(minutes=minutes) if minutes is not None else None
    made = Assignment.objects.create(
        case=case, person=person, purpose=purpose, way=way, assigned_by=by, expires_at=expires,
        job_id=job_id,
    )  # fmt: skip
    record(
        actor=by, verb=VERBS.get(way, "case.assigned"), subject=case,
        data={"assignment": made.pk, "person": person.username, "purpose": purpose, "way": way,
              "until": expires.isoformat() if expires else None},
    )  # fmt: skip
    return made


@transaction.atomic
def take_next(
    *,
    person: User,
    corpus: Corpus | None = None,
    extra: Callable[[User], Assignment | None] | None = None,
    barred: Collection[int] = (),
    purposes: Collection[Purpose] = PASSES,
) -> Assignment | None:
    """What the person is to do next, reserved for them; None when nothing waits for them.

    In this order: their returned cases, what they have begun or taken, what `extra` gives (gold cases), what was given
    to them, second passes of cases whose first pass is somebody else's, then unassigned cases by review rank. Calling
    again before anything was submitted gives the same again.
    `barred`: corpora (ids) in which nothing new is given, e.g. because the person is paused there; what they hold they
    may finish. `purposes`: {SECOND} or {ADJUDICATE} ask for cases to look over or to decide, where the role allows it.
    """
    wanted = {*purposes, Purpose.GOLD} if PASSES & set(purposes) else set(purposes)
    held = [one for one in held_by(person, corpus=corpus) if one.purpose in wanted]
    held = [one for one in held if turn(one) < Turn.GIVEN or one.case.corpus_id not in barred]
    if held and turn(held[0]) < Turn.GIVEN:
        return held[0]
    given = extra(person) if extra is not None else None
    if given is not None:
        return given
    if held:
        return held[0]
    for purpose in (purpose for purpose in TAKEN_IN_ORDER if purpose in purposes):
        found = corpora_for(person, purpose, corpus=corpus, barred=barred)
        taken = _take(person, purpose, found) if found else None
        if taken is not None:
            return taken
    return None


class Turn(IntEnum):
    """When an open assignment is offered to its person, earliest first."""

    RETURNED = 0
    BEGUN = 1
    GOLD = 2
    TAKEN = 3
    GIVEN = 4


def turn(assignment: Assignment) -> Turn:
    """Where an open assignment stands in its person's queue."""
    if assignment.way == Way.RETURNED or (
        assignment.purpose in PASSES and assignment.case.status == CaseStatus.RETURNED
    ):
        return Turn.RETURNED
    if assignment.opened_at is not None:
        return Turn.BEGUN
    if assignment.purpose == Purpose.GOLD:
        return Turn.GOLD
    return Turn.TAKEN if assignment.way == Way.TAKEN else Turn.GIVEN


def held_by(person: User, *, corpus: Corpus | None = None) -> list[Assignment]:
    """What is open for the person and can be worked on, in the order in which take_next offers it.

    By Turn, then by review rank.
    """
    mine = workable().filter(person=person).select_related("case__corpus", "case__video")
    if corpus is not None:
        mine = mine.filter(case__corpus=corpus)
    return sorted(mine.order_by(F("case__review_rank").asc(nulls_last=True), "id"), key=turn)


def workable() -> QuerySet[Assignment]:
    """Open assignments whose case stands where their purpose needs it."""
    fits = Q()
    for purpose, statuses in WORKABLE.items():
        fits |= Q(purpose=purpose, case__status__in=statuses)
    return Assignment.objects.filter(fits, state=AssignmentState.OPEN)


def _take(person: User, purpose: Purpose, corpora: list[int]) -> Assignment | None:
    """Reserve the next waiting case that nobody else is just taking; those the person let go come last."""
    cases = not_of(waiting(purpose, corpora), person, purpose)
    return _claim(cases.filter(~let_go_by(person)), person, purpose) or _claim(
        cases.filter(let_go_by(person)), person, purpose
    )


def _claim(cases: QuerySet[Case], person: User, purpose: Purpose) -> Assignment | None:
    stale: list[int] = []
    while True:
        free = cases.exclude(pk__in=stale) if stale else cases
        case = free.select_for_update(skip_locked=True, of=("self",), no_key=True).first()
        if case is None:
            return None
        if in_the_way(case=case, person=person, purpose=purpose) is None:
            minutes = current_plan(case.corpus_id).reservation_minutes
            return _write(case, person, purpose, Way.TAKEN, by=person, minutes=minutes)
        stale.append(case.pk)


def open_assignment(case: Case, person: User) -> Assignment | None:
    """What the person is asked to do with the case now."""
    return Assignment.objects.filter(case=case, person=person, state=AssignmentState.OPEN).first()


@transaction.atomic
def begin(assignment: Assignment, *, at: datetime | None = None) -> None:
    """The person opened it: remembered once, and the time they have begins anew. No effect on what is closed."""
    now = at or timezone.now()
    Assignment.objects.filter(pk=assignment.pk, state=AssignmentState.OPEN, opened_at__isnull=True).update(
        opened_at=now
    )
    keep(person=assignment.person, case=assignment.case_id, at=now)


@transaction.atomic
def keep(*, person: User, case: Case | int, at: datetime | None = None) -> int:
    """The person is at work on this case: if it is reserved for them, it expires as if taken just now.

    Never later than LONGEST_KEPT times the plan's minutes after it was given to them: activity can be made up, and a
    case is not held for good. Returns how many reservations were extended (0 or 1); never shortens one.
    """
    now = at or timezone.now()
    case_id = case if isinstance(case, int) else case.pk
    held = Assignment.objects.filter(
        person=person, state=AssignmentState.OPEN, case=case_id, expires_at__gt=now
    ).select_related("case")
    extended = 0
    for one in held:
        kept = timedelta(minutes=current_plan(one.case.corpus_id).reservation_minutes)
        until = min(now + kept, one.assigned_at + LONGEST_KEPT * kept)
        extended += held.filter(pk=one.pk, expires_at__lt=until).update(expires_at=until)
    return extended


@transaction.atomic
def close(assignment: Assignment, *, at: datetime) -> None:
    """The pass was made. One that came in after it had expired or been released counts as done all the same.

    Whoever has been given the same pass meanwhile and has not opened it is relieved of it.
    """
    before = assignment.state
    changed = (
        Assignment.objects.filter(pk=assignment.pk)
        .exclude(state=AssignmentState.DONE)
        .update(state=AssignmentState.DONE, closed_at=at)
    )
    assignment.refresh_from_db(fields=["state", "closed_at"])
    if not changed or before == AssignmentState.OPEN or assignment.purpose == Purpose.GOLD:
        return
    unopened = Assignment.objects.filter(
        case=assignment.case_id,
        purpose=assignment.purpose,
        state=AssignmentState.OPEN,
        opened_at__isnull=True,
    )
    for other in unopened:
        _end(other, AssignmentState.RELEASED, by=None, reason=f"{assignment.person.username} submitted late")


@transaction.atomic
def release(*, assignment: Assignment, by: User | None, reason: str = "") -> None:
    """Give the case free for others. One's own always; somebody else's needs Action.ASSIGN.

    Problem: not_allowed, not_found, not_open (it was closed meanwhile).
    """
    if by is not None and by.pk != assignment.person_id:
        require(by, Action.ASSIGN, assignment.case.corpus_id)
    if not _end(assignment, AssignmentState.RELEASED, by=by, reason=reason.strip()):
        raise Problem("not_open", f"The assignment is {assignment.state} already.")


def _end(assignment: Assignment, state: AssignmentState, *, by: User | None, reason: str) -> bool:
    """Whether it was open until now."""
    ended = Assignment.objects.filter(pk=assignment.pk, state=AssignmentState.OPEN).update(
        state=state, closed_at=timezone.now()
    )
    assignment.refresh_from_db(fields=["state", "closed_at"])
    if ended:
        record(
            actor=by, verb="case.released", subject=assignment.case,
            data={"assignment": assignment.pk, "person": assignment.person.username,
                  "purpose": assignment.purpose, "reason": reason},
        )  # fmt: skip
    return bool(ended)


@transaction.atomic
def hand_back(*, case: Case, by: User | None) -> Assignment | None:
    """Give a returned case to whoever made the latest pass, for that same pass, until they submit or it is released.

    None where there is nobody to give it to: no pass that counts, or its author may not review here any more. Then it
    waits for whoever takes it.
    """
    case = Case.objects.select_for_update(no_key=True).get(pk=case.pk)
    reviews = counting_reviews().filter(case=case).select_related("reviewer")
    latest = reviews.order_by("-submitted_at", "-id").first()
    if latest is None:
        return None
    purpose = Purpose.DOUBLE if latest.purpose == Purpose.DOUBLE else Purpose.ANNOTATE
    if in_the_way(case=case, person=latest.reviewer, purpose=purpose) is not None:
        return None
    return _write(case, latest.reviewer, purpose, Way.RETURNED, by=by, minutes=None)


def expire_due() -> int:
    """End every reservation whose time is over, so that the cases go to others; returns how many."""
    ended = 0
    while batch := _expire_batch():
        ended += batch
    return ended


@transaction.atomic
def _expire_batch() -> int:
    now = timezone.now()
    due = Assignment.objects.filter(state=AssignmentState.OPEN, expires_at__lte=now).order_by("id")
    rows = list(due.select_for_update(skip_locked=True).values_list("pk", "case_id")[:EXPIRED_AT_ONCE])
    Assignment.objects.filter(pk__in=[pk for pk, _ in rows]).update(
        state=AssignmentState.EXPIRED, closed_at=now
    )
    record_ids(
        actor=None, verb="case.reservation_expired", model=Case, ids=[case for _, case in rows]
    )  # fmt: skip
    return len(rows)


@transaction.atomic
def release_moot() -> int:
    """Release what nobody needs any more, because the case was approved, excluded or decided meanwhile."""
    settled = (CaseStatus.APPROVED, CaseStatus.EXCLUDED)
    moot = Q(purpose__in=[*PASSES, Purpose.SECOND, Purpose.ADJUDICATE], case__status__in=settled)
    for purpose in (Purpose.SECOND, Purpose.ADJUDICATE):
        moot |= Q(purpose=purpose) & ~Q(case__status__in=WORKABLE[purpose])
    found = Assignment.objects.filter(moot, state=AssignmentState.OPEN).select_related("case", "person")
    return sum(
        _end(one, AssignmentState.RELEASED, by=None, reason=f"the case is {one.case.status}")
        for one in found.order_by("id")[:EXPIRED_AT_ONCE]
    )
