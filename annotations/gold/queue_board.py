"""What a lead sees of a corpus: who has what, how much, for how long, and what waits for somebody."""

from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from annotations.cases.models import Case, CaseStatus, case_has_said
from annotations.corpora.models import Corpus
from annotations.corpora.search import video_has_words
from annotations.gold.models import Pause
from annotations.gold.queue import done_today
from annotations.gold.queue_skill import Skill, skills_of
from annotations.reviews.assignments_pool import waiting
from annotations.reviews.assignments_sharing import workers_of
from annotations.reviews.models import Assignment, AssignmentState, Purpose
from crashdesk.accounts.models import User

ASKED = (Purpose.ANNOTATE, Purpose.DOUBLE, Purpose.SECOND, Purpose.ADJUDICATE)


@dataclass(frozen=True)
class PersonRow:
    """One person's load in a corpus. Gold cases are counted apart: they are no work that somebody else could do."""

    person: User
    works_here: bool
    open: dict[str, int]
    gold: int
    begun: int
    returned: int
    oldest: datetime | None
    done_today: int
    skill: Skill
    pause: Pause | None

    @property
    def load(self) -> int:
        """Cases to do now."""
        return sum(self.open.values())


@dataclass(frozen=True)
class Board:
    """`waiting`: by purpose, how many cases lack somebody."""

    people: list[PersonRow]
    waiting: dict[str, int]


def board_of(corpus: Corpus) -> Board:
    """Everybody who works there, and whoever else has something of it, the most loaded first."""
    held: dict[int, list[Assignment]] = defaultdict(list)
    for one in open_in(corpus):
        held[one.person_id].append(one)
    workers = {person.pk: person for person in workers_of(corpus)}
    others = User.objects.filter(pk__in=held.keys() - workers.keys())
    people = {**workers, **{person.pk: person for person in others}}
    pauses = {pause.person_id: pause for pause in Pause.objects.filter(corpus=corpus, lifted_at__isnull=True)}
    done, skills = done_today(corpus), skills_of(list(people.values()), corpus)
    rows = [
        _row(person, held[pk], pk in workers, done.get(pk, 0), skills[pk], pauses.get(pk))
        for pk, person in people.items()
    ]
    return Board(
        people=sorted(rows, key=lambda row: (-row.load, row.person.username)),
        waiting={purpose.value: waiting(purpose, [corpus.pk]).count() for purpose in ASKED},
    )


def _row(
    person: User, held: list[Assignment], works_here: bool, done: int, skill: Skill, pause: Pause | None
) -> PersonRow:
    asked = [one for one in held if one.purpose != Purpose.GOLD]
    counts = Counter(one.purpose for one in asked)
    return PersonRow(
        person=person,
        works_here=works_here,
        open={purpose.value: counts[purpose] for purpose in ASKED if counts[purpose]},
        gold=len(held) - len(asked),
        begun=sum(one.opened_at is not None for one in asked),
        returned=sum(one.case.status == CaseStatus.RETURNED for one in asked),
        oldest=min((one.assigned_at for one in asked), default=None),
        done_today=done,
        skill=skill,
        pause=pause,
    )


def open_in(corpus: Corpus, *, person: int | None = None, purpose: str = "") -> QuerySet[Assignment]:
    """Open assignments of a corpus, oldest first. Those whose case has moved on are released by the beat."""
    found = Assignment.objects.filter(case__corpus=corpus, state=AssignmentState.OPEN)
    if person is not None:
        found = found.filter(person=person)
    if purpose:
        found = found.filter(purpose=purpose)
    return found.select_related("person", "case__video", "assigned_by").order_by("id")


def waiting_in(
    corpus: Corpus, purpose: Purpose, *, source: str = "", words: str = "", ids: Collection[int] | None = None
) -> QuerySet[Case]:
    """Cases that lack somebody for this purpose, in review order, narrowed as the list of cases is."""
    cases = waiting(purpose, [corpus.pk]).select_related("video__media")
    if source:
        cases = cases.filter(video__source=source)
    if words:
        cases = cases.filter(video_has_words(words, field="video_id") | case_has_said(words))
    return cases if ids is None else cases.filter(pk__in=list(ids))
