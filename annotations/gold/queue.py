"""What a person has to do, and what they get next: ordinary cases and gold ones in one queue, pauses respected."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from annotations.cases.models import CaseStatus
from annotations.corpora.models import Corpus
from annotations.gold.asking import LIKE_ANY_OTHER, barred, next_gold
from annotations.gold.models import Pause
from annotations.gold.queue_skill import skills_of
from annotations.reviews.assignments import Turn, held_by, take_next, turn
from annotations.reviews.assignments_pool import strategies
from annotations.reviews.assignments_rules import PASSES
from annotations.reviews.assignments_sharing import MOST_HELD, Shared, share_out, workers_of
from annotations.reviews.models import (
    Assignment,
    AssignmentState,
    Purpose,
    Review,
    ReviewOutcome,
    Strategy,
    Way,
)
from annotations.reviews.plans import current_plan
from crashdesk.accounts.models import User

WAYS = {Strategy.ROUND_ROBIN.value: Way.ROUND_ROBIN, Strategy.SKILL_AND_LOAD.value: Way.SKILL_AND_LOAD}


def next_for(
    person: User, *, corpus: Corpus | None = None, purposes: Collection[Purpose] = PASSES
) -> Assignment | None:
    """take_next with gold cases among the others; nothing ordinary where they are paused or before the entrance."""
    answering = bool(PASSES & set(purposes))
    return take_next(
        person=person,
        corpus=corpus,
        extra=(lambda who: next_gold(who, corpus)) if answering else None,
        barred=barred(person) if answering else paused_corpora(person),
        purposes=purposes,
    )


def paused_corpora(person: User) -> set[int]:
    """Ids of the corpora in which the person is given nothing new."""
    held = Pause.objects.filter(person=person, lifted_at__isnull=True)
    return set(held.values_list("corpus", flat=True))


def paused_people(corpus: Corpus) -> set[int]:
    """Ids of the people who are given nothing new in the corpus."""
    held = Pause.objects.filter(corpus=corpus, lifted_at__isnull=True)
    return set(held.values_list("person", flat=True))


@dataclass(frozen=True)
class Item:
    """One case in somebody's queue, as they may see it: a gold case and a second pass look like any other."""

    assignment: Assignment
    purpose: Purpose
    status: CaseStatus
    turn: Turn
    reason: str

    @property
    def until(self) -> datetime | None:
        """Until when it is reserved; None: until it is done or released."""
        return self.assignment.expires_at


def as_seen(assignment: Assignment) -> Item:
    """What its person is told about an assignment."""
    case, place = assignment.case, turn(assignment)
    gold = assignment.purpose == Purpose.GOLD
    if gold:
        place = Turn.TAKEN if assignment.opened_at is None else Turn.BEGUN
    return Item(
        assignment=assignment,
        purpose=Purpose.ANNOTATE if assignment.purpose in LIKE_ANY_OTHER else Purpose(assignment.purpose),
        status=CaseStatus.IN_REVIEW if gold else CaseStatus(case.status),
        turn=place,
        reason=case.returned_reason if place == Turn.RETURNED else "",
    )


@dataclass(frozen=True)
class Queue:
    """A person's work: what is open for them by its turn, what they finished today, and where they are paused."""

    items: list[Item]
    finished: list[Review]
    paused: list[Corpus]


def queue_of(person: User) -> Queue:
    """Returned cases first. `finished`: what was submitted or passed on since midnight (UTC), newest first."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    submitted = Q(outcome=ReviewOutcome.SUBMITTED, submitted_at__gte=midnight)
    skipped = Q(outcome=ReviewOutcome.SKIPPED, opened_at__gte=midnight)
    finished = Review.objects.filter(submitted | skipped, reviewer=person).select_related("case__video")
    paused = paused_corpora(person)
    items = sorted(map(as_seen, held_by(person)), key=lambda item: item.turn)
    return Queue(
        items=[
            item for item in items if item.turn < Turn.GIVEN or item.assignment.case.corpus_id not in paused
        ],
        finished=list(finished.order_by("-submitted_at", "-id")),
        paused=list(Corpus.objects.filter(pk__in=paused)),
    )


def share_out_to_skilled(
    *, corpus: Corpus, way: Way, by: User | None, people: Collection[User] | None = None, **asked: object
) -> Shared:
    """share_out among people who are not paused there, with their skills."""
    free = free_people(corpus, people)
    skills = skill_values(way, free, corpus)
    return share_out(corpus=corpus, way=way, by=by, people=free, skills=skills, **asked)  # type: ignore[arg-type]


def free_people(corpus: Corpus, people: Collection[User] | None = None) -> list[User]:
    """Those of the people who are not paused there. None: of everybody who works there."""
    paused = paused_people(corpus)
    return [
        person for person in (workers_of(corpus) if people is None else people) if person.pk not in paused
    ]


def skill_values(way: Way, people: Collection[User], corpus: Corpus) -> dict[int, float]:
    """By user id, as share_out takes them; empty where cases are not given by skill."""
    if way != Way.SKILL_AND_LOAD:
        return {}
    return {pk: skill.value for pk, skill in skills_of(people, corpus).items()}


def share_out_due(corpus: Corpus) -> int:
    """Top everybody up where the corpus's plan says so; returns how many cases were given."""
    plan = current_plan(corpus)
    way = WAYS.get(plan.strategy)
    if way is None or not workers_of(corpus).exclude(pk__in=paused_people(corpus)).exists():
        return 0
    return len(
        share_out_to_skilled(
            corpus=corpus, way=way, by=None, most=MOST_HELD, minutes=plan.reservation_minutes
        ).given
    )


def share_out_everywhere() -> int:
    """share_out_due of every corpus whose plan shares cases out; returns how many cases were given."""
    chosen = [pk for pk, strategy in strategies().items() if strategy in WAYS]
    return sum(share_out_due(corpus) for corpus in Corpus.objects.filter(pk__in=chosen))


def done_today(corpus: Corpus) -> dict[int, int]:
    """By user id, how many passes each finished in the corpus since midnight (UTC), gold ones included."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    closed = Assignment.objects.filter(
        case__corpus=corpus, state=AssignmentState.DONE, closed_at__gte=midnight
    ).values_list("person", flat=True)
    counts: dict[int, int] = {}
    for person in closed:
        counts[person] = counts.get(person, 0) + 1
    return counts
