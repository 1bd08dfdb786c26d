"""Giving many cases to many people: in turn, to the best free person, by hand, and evening out who has how many."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db import connection, transaction
from django.db.models import Count, Q, QuerySet

from annotations.cases.models import Case
from annotations.corpora.access import require
from annotations.corpora.models import Access, Corpus
from annotations.reviews.assignments import assign, release
from annotations.reviews.assignments_pool import waiting
from annotations.reviews.assignments_rules import PASSES
from annotations.reviews.draws import draws_of
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Way
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem

MOST_HELD: Final = 10
"""So many cases a person is given by themselves; who has them is not free."""
AT_ONCE: Final = 500
"""So many cases one transaction gives at most; more are given by a job."""
DEFAULT_SKILL: Final = 0.5
WORKING: Final = (Role.ANNOTATOR, Role.REVIEWER)


@dataclass
class Shared:
    """What came of sharing out: what was given, and by case why it was left."""

    given: list[Assignment] = field(default_factory=list)
    left: dict[int, Problem] = field(default_factory=dict)


@dataclass(frozen=True)
class Moved:
    """A case that went from one person to another."""

    case_id: int
    before: User
    assignment: Assignment


def workers_of(corpus: Corpus) -> QuerySet[User]:
    """Who is given cases there without being named: annotators and reviewers of the corpus, in order of their ids."""
    members = Membership.objects.filter(corpus=corpus)
    found = Q(pk__in=members.filter(role__in=WORKING).values("user"))
    if corpus.access == Access.EVERYONE:
        found |= Q(role__in=WORKING) & ~Q(pk__in=members.values("user"))
    return User.objects.filter(found, is_active=True).exclude(role=Role.ADMIN).order_by("pk")


def loads(people: Collection[User]) -> dict[int, int]:
    """How many cases each of them has to do now, in all corpora; gold cases are not counted."""
    held = Assignment.objects.filter(person__in=people, state=AssignmentState.OPEN)
    counted = held.exclude(purpose=Purpose.GOLD).values("person").annotate(count=Count("pk"))
    return {person.pk: 0 for person in people} | {row["person"]: row["count"] for row in counted}


def worth(*, skill: float, load: int, most: int) -> float:
    """How good it is to give the next case to somebody: their skill (0 to 1) times the share of their time left.

    A person of skill 0.9 who has half of what they may have comes after an idle one of skill 0.5.
    """
    return skill * (1 - load / most)


@transaction.atomic
def assign_many(
    *,
    cases: Sequence[Case],
    person: User,
    by: User,
    purpose: Purpose = Purpose.ANNOTATE,
    minutes: int | None = None,
    job_id: int | None = None,
) -> Shared:
    """Give one person all of these, as far as each is possible. Problem not_allowed, not_found: `by` may not assign."""
    shared = Shared()
    for case in cases:
        require(by, Action.ASSIGN, case.corpus_id)
    draws_of(cases)
    for case in cases:
        try:
            shared.given.append(
                assign(
                    case=case, person=person, purpose=purpose, way=Way.MANUAL, by=by, minutes=minutes, job_id=job_id
                )
            )  # fmt: skip
        except Problem as problem:
            shared.left[case.pk] = problem
    return shared


@transaction.atomic
def share_out(
    *,
    corpus: Corpus,
    way: Way,
    by: User | None,
    cases: Sequence[Case] | None = None,
    people: Collection[User] | None = None,
    most: int = MOST_HELD,
    skills: Mapping[int, float] | None = None,
    minutes: int | None = None,
    job_id: int | None = None,
) -> Shared:
    """Give waiting cases of one corpus to people, in review order, until everybody holds `most`.

    `way`: ROUND_ROBIN goes on after whoever got the last case in turn; SKILL_AND_LOAD gives each case to whom `worth`
    says (`skills` by user id, 0 to 1; DEFAULT_SKILL where there is none). `cases`: these instead of all that wait;
    for each of them the pass that is due is asked for. `people`: these instead of everybody who works there.
    Each case goes to the first of them who may have it; where nobody may, `left` says why the first may not.
    Raises Problem: not_allowed, not_found, no_people.
    """
    require(by, Action.ASSIGN, corpus)
    _alone(corpus)
    choice = list(people) if people is not None else list(workers_of(corpus))
    if not choice:
        raise Problem(
            "no_people", f"Nobody can be given cases of {corpus.name}.", fields={"people": ["nobody"]}
        )
    load = loads(choice)
    after = _last_in_turn(corpus) if way == Way.ROUND_ROBIN else 0
    shared = Shared()
    due = list(_due(corpus, cases, room=sum(max(0, most - held) for held in load.values())))
    draws_of(case for case, _ in due)  # at once rather than one by one
    for case, purpose in due:
        free = [person for person in choice if load[person.pk] < most]
        if not free:
            break
        if way == Way.ROUND_ROBIN:
            free.sort(key=lambda person: (person.pk <= after, person.pk))
        else:
            free.sort(key=_best_first(load, skills or {}, most))
        made = _give(case, purpose, way, free, by=by, minutes=minutes, job_id=job_id, shared=shared)
        if made is not None:
            load[made.person_id] += 1
            after = made.person_id
    return shared


def _best_first(
    load: Mapping[int, int], skills: Mapping[int, float], most: int
) -> Callable[[User], tuple[float, int, int]]:
    def key(person: User) -> tuple[float, int, int]:
        value = worth(skill=skills.get(person.pk, DEFAULT_SKILL), load=load[person.pk], most=most)
        return (-value, load[person.pk], person.pk)

    return key


def _give(
    case: Case,
    purpose: Purpose,
    way: Way,
    free: Sequence[User],
    *,
    by: User | None,
    minutes: int | None,
    job_id: int | None,
    shared: Shared,
) -> Assignment | None:
    for person in free:
        try:
            made = assign(
                case=case, person=person, purpose=purpose, way=way, by=by, minutes=minutes, job_id=job_id
            )
        except Problem as problem:
            shared.left.setdefault(case.pk, problem)
            if problem.code in {"wrong_status", "already_assigned", "pass_done", "not_double"}:
                return None  # nobody else may have it either
            continue
        shared.left.pop(case.pk, None)
        shared.given.append(made)
        return made
    return None


def _due(corpus: Corpus, cases: Sequence[Case] | None, *, room: int) -> Iterator[tuple[Case, Purpose]]:
    """What is to be given, second passes first as in take_next. Read at once: what is given leaves these lists."""
    if cases is not None:
        second = set(
            waiting(Purpose.DOUBLE, [corpus.pk])
            .filter(pk__in=[case.pk for case in cases])
            .values_list("pk", flat=True)
        )
        yield from ((case, Purpose.DOUBLE if case.pk in second else Purpose.ANNOTATE) for case in cases)
        return
    limit = min(room, AT_ONCE)
    for purpose in (Purpose.DOUBLE, Purpose.ANNOTATE):
        yield from ((case, purpose) for case in list(waiting(purpose, [corpus.pk])[:limit]))


def _last_in_turn(corpus: Corpus) -> int:
    last = Assignment.objects.filter(case__corpus=corpus, way=Way.ROUND_ROBIN).order_by("-id")
    return last.values_list("person", flat=True).first() or 0


def _alone(corpus: Corpus) -> None:
    """One sharing out of a corpus at a time, to the end of the transaction: turns and loads stay as they were read."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"crashdesk.share_out:{corpus.pk}"])


@transaction.atomic
def rebalance(*, corpus: Corpus, by: User, without: Collection[int] = ()) -> list[Moved]:
    """Even out how many cases people have in a corpus, by moving what they have not opened, newest first.

    Nobody ends with two more than another where a move is possible; what was returned to somebody stays theirs.
    `without`: people (ids) who shall have nothing new and give away what they have not opened, e.g. paused ones; so
    does whoever works there no more. Raises Problem: not_allowed, not_found, no_people.
    """
    require(by, Action.ASSIGN, corpus)
    _alone(corpus)
    receivers = [person for person in workers_of(corpus) if person.pk not in without]
    if not receivers:
        raise Problem(
            "no_people", f"Nobody can be given cases of {corpus.name}.", fields={"people": ["nobody"]}
        )
    counts, movable = {person.pk: 0 for person in receivers}, dict[int, list[Assignment]]()
    for one in _open_passes(corpus):
        if one.person_id in counts:
            counts[one.person_id] += 1
        if one.opened_at is None and one.way != Way.RETURNED:
            movable.setdefault(one.person_id, []).append(one)
    moved = []
    while any(movable.values()):
        giver = max((pk for pk in movable if movable[pk]), key=lambda pk: (counts.get(pk, math.inf), -pk))
        one = movable[giver].pop()
        fewer = [person for person in receivers if counts[person.pk] + 1 < counts.get(giver, math.inf)]
        made = _hand_over(one, sorted(fewer, key=lambda person: (counts[person.pk], person.pk)), by=by)
        if made is not None:
            counts[made.assignment.person_id] += 1
            if giver in counts:
                counts[giver] -= 1
            moved.append(made)
    return moved


def _open_passes(corpus: Corpus) -> QuerySet[Assignment]:
    found = Assignment.objects.filter(
        case__corpus=corpus, state=AssignmentState.OPEN, purpose__in=list(PASSES)
    )
    return found.select_related("person", "case").order_by("id")


def _hand_over(held: Assignment, receivers: Sequence[User], *, by: User) -> Moved | None:
    """Give an assignment to the first of these who may have it; None, and nothing changed, when nobody may."""
    minutes = None if held.expires_at is None else current_plan(held.case.corpus_id).reservation_minutes
    for person in receivers:
        try:
            with transaction.atomic():
                release(assignment=held, by=by, reason=f"moved to {person.username}")
                made = assign(
                    case=held.case, person=person, purpose=Purpose(held.purpose), way=Way.MANUAL, by=by, minutes=minutes
                )  # fmt: skip
        except Problem:
            held.refresh_from_db()
            if held.state != AssignmentState.OPEN:
                return None
            continue
        return Moved(held.case_id, held.person, made)
    return None
