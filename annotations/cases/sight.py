"""What a person may see of a case that they answer, or may come to answer, without seeing what others said of it.

The rooms that know who is asked for what say so (annotations.gold.sight); this one only asks: lists, the API and the
pages of cases show everybody `sight_of(person)`. Without such a room everything is seen.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from django.db.models import Exists, OuterRef, Q

from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus, case_has_said
from annotations.corpora.access import open_to
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import reach, standing

COMMON: Final = {"case.created", "case.ready", "case.predicting", "case.predicted", "case.in_review"}
"""What happens to every case before anybody answers it."""
OWN: Final = {"answer.written", "case.taken", "case.assigned", "case.released"}
"""What a person did to any case that was theirs."""
ORDERING: Final = (Action.ASSIGN, Action.APPROVE, Action.SELECT)
"""Who may do one of these sees in which order cases are to be reviewed: a rank tells cases that wait from others."""


class Event(Protocol):
    """A row of the audit log, as far as it matters here."""

    actor: str
    verb: str
    data: dict[str, Any]


E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Veil:
    """What is shown instead. `status` "": the case's own; `drafts`, `others`: whether the model's answers, and what
    other people said and did, may be seen; `outcome`: whether the person is told what their own submission did.
    """

    status: str = ""
    changed_at: datetime | None = None
    drafts: bool = True
    others: bool = True
    outcome: bool = True

    @property
    def hides_answers(self) -> bool:
        """Whether some answers may not be seen."""
        return not (self.drafts and self.others)

    def answers(self, answers: Iterable[Answer], person: User | None) -> list[Answer]:
        """Those that may be seen: one's own always."""
        return [one for one in answers if self._shows(one, person)]

    def _shows(self, answer: Answer, person: User | None) -> bool:
        if answer.author_kind == AuthorKind.PERSON:
            return self.others or (person is not None and answer.author_id == person.pk)
        return self.drafts

    def events(self, events: Iterable[E], person: User) -> Iterator[E]:
        """Of the case's history: all of it, or what every case has and what the person did."""
        for event in events:
            own = event.actor == person.username
            if not self.outcome and own and event.verb == "case.submitted":
                continue
            if self.others or (own and event.verb in OWN) or (event.verb in COMMON and not _late(event)):
                if not self.others and "purpose" in event.data:
                    event.data = {**event.data, "purpose": "annotate"}
                yield event

    def over(self, case: Case) -> Case:
        """The case as the person is shown it; never to be saved."""
        if self.status:
            case.status, case.returned_reason = self.status, ""
            case.status_changed_at = self.changed_at or case.created_at
        return case


CLEAR: Final = Veil()


def _late(event: Event) -> bool:
    """Back in review after people had answered."""
    return event.verb == "case.in_review" and event.data.get("from") not in (
        CaseStatus.READY,
        CaseStatus.PREDICTED,
    )


class Sight:
    """One person's view of cases; this one hides nothing."""

    def __init__(self, person: User) -> None:
        self.person = person

    def masked(self) -> Collection[int]:
        """The cases (ids) whose status is not shown as it is; lists filter by `shown_as` of those."""
        return ()

    def shown_as(self, case_id: int) -> str:
        """The status that a masked case is shown with."""
        return ""

    def of(self, case: Case) -> Veil:
        """What is shown of this case."""
        return CLEAR


_maker: Callable[[User], Sight] = Sight


def use(maker: Callable[[User], Sight]) -> None:
    """Called once, when the applications are ready."""
    global _maker
    _maker = maker


def sight_of(person: User) -> Sight:
    """The person's view of cases."""
    return _maker(person)


def shown_with(person: User, statuses: Collection[str]) -> Q:
    """Of cases: the person is shown one of these statuses."""
    sight = sight_of(person)
    masked = list(sight.masked())
    if not masked:
        return Q(status__in=statuses)
    seen_so = [case for case in masked if sight.shown_as(case) in statuses]
    return Q(status__in=statuses) & ~Q(pk__in=masked) | Q(pk__in=seen_so)


def sees_order(person: User, corpus_id: int) -> bool:
    """Whether the person sees the ranks of this corpus's cases."""
    return not standing(person).allowed(corpus_id).isdisjoint(ORDERING)


def sees_every_order(person: User, corpus_id: int | None = None) -> bool:
    """Whether a list of cases may go by rank: those of one corpus, or of all that are open to the person."""
    if corpus_id is not None:
        return sees_order(person, corpus_id)
    found = standing(person)
    if any(found.reach(action).everywhere for action in ORDERING):
        return True
    corpora = open_to(person).order_by().values_list("pk", flat=True)
    return not any(found.allowed(pk).isdisjoint(ORDERING) for pk in corpora)


def said_in_sight(person: User, text: str) -> Q:
    """Of cases: an answer in words that may be shown to the person holds these words, or their beginnings.

    A search finds no more than a look would: where somebody does not lead, the approved answers of unmasked cases,
    their own and, where they approve, what people submitted. Drafts are left out: some are hidden.
    """
    leads = reach(person, Action.ASSIGN)
    if leads.everywhere:
        return case_has_said(text)
    unmasked = ~Q(case__in=list(sight_of(person).masked()))
    approved = Q(Exists(ApprovedAnswer.objects.filter(answer=OuterRef("pk"))))
    submitted = Q(author_kind=AuthorKind.PERSON, case__status=CaseStatus.SUBMITTED)
    submitted &= reach(person, Action.APPROVE).inside("case__corpus")
    seen = Q(author=person) | unmasked & (approved | submitted) | leads.inside("case__corpus")
    return case_has_said(text, seen)
