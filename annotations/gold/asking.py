"""Giving gold cases to people among their other work, so that nobody can tell them apart.

Who has not passed the entrance gets gold cases only. After that each next case is a gold one with the plan's share as
its chance, drawn from the plan's seed, the person and how many cases they have been given: asking again gives the same.
"""

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from annotations.cases.models import ApprovedAnswer, Case, CaseStatus
from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus
from annotations.gold.models import GoldCase
from annotations.gold.pauses import counted, paused_in
from annotations.reviews.assignments import assign
from annotations.reviews.draws import chance
from annotations.reviews.models import (
    Assignment,
    AssignmentState,
    Purpose,
    Review,
    ReviewPlan,
    Way,
)
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action

LIKE_ANY_OTHER = (Purpose.ANNOTATE, Purpose.DOUBLE, Purpose.GOLD)


@transaction.atomic
def next_gold(person: User, corpus: Corpus | None = None) -> Assignment | None:
    """The gold case that is this person's turn, given to them; None when the next case is to be an ordinary one.

    A gold case they hold already is given again. Nothing in a corpus where they are paused.
    """
    User.objects.select_for_update(no_key=True).get(pk=person.pk)  # asked twice at once gives one
    mine = Assignment.objects.filter(person=person, purpose=Purpose.GOLD, state=AssignmentState.OPEN)
    mine = mine if corpus is None else mine.filter(case__corpus=corpus)
    held = mine.exclude(case__corpus__in=paused_in(person)).order_by("id").first()
    if held is not None:
        return held
    for plan in _plans(person, corpus):
        case = _due(person, plan)
        if case is not None:
            return assign(
                case=case, person=person, purpose=Purpose.GOLD, way=Way.TAKEN, by=person,
                minutes=plan.reservation_minutes,
            )  # fmt: skip
    return None


def _due(person: User, plan: ReviewPlan) -> Case | None:
    """The gold case to be given now under this plan; None when it is not time for one, or none is left."""
    if entrance_left(person, plan) == 0:
        given = Assignment.objects.filter(
            person=person, case__corpus=plan.corpus_id, purpose__in=LIKE_ANY_OTHER
        ).count()
        if chance(plan.gold_seed, f"gold:{person.pk}", given) >= plan.gold_share:
            return None
    return min(
        unseen(person, plan.corpus_id),
        key=lambda case: chance(plan.gold_seed, f"gold case:{person.pk}", case.pk),
        default=None,
    )


def unseen(person: User, corpus: int) -> QuerySet[Case]:
    """The gold cases that can be given to this person: those they have never answered, decided, approved or held."""
    marked = GoldCase.objects.filter(case=OuterRef("pk"), unmarked_at__isnull=True)
    answered = Review.objects.filter(case=OuterRef("pk"), reviewer=person)
    held = Assignment.objects.filter(
        case=OuterRef("pk"), person=person, state__in=[AssignmentState.OPEN, AssignmentState.DONE]
    )
    cases = Case.objects.filter(Exists(marked), corpus=corpus, status=CaseStatus.APPROVED)
    approved = ApprovedAnswer.objects.filter(case=OuterRef("pk"), approved_by=person)
    return cases.filter(~Exists(answered), ~Exists(held), ~Exists(approved))


def entrance_left(person: User, plan: ReviewPlan) -> int:
    """How many gold cases the person has to answer before any other: never more than there are for them."""
    if not plan.gold_entrance:
        return 0
    lacking = plan.gold_entrance - len(counted(person, plan.corpus_id))
    return max(0, min(lacking, unseen(person, plan.corpus_id).count())) if lacking > 0 else 0


def barred(person: User) -> set[int]:
    """The corpora (ids) in which the person is given no ordinary case: paused, or the entrance is not passed."""
    before_entrance = {
        plan.corpus_id
        for plan in _plans(person, None)
        if entrance_left(person, plan) or _entrance_open(person, plan)
    }
    return paused_in(person) | before_entrance


def _entrance_open(person: User, plan: ReviewPlan) -> bool:
    """Whether the person holds a gold case of the entrance that is not answered yet."""
    if not plan.gold_entrance or len(counted(person, plan.corpus_id)) >= plan.gold_entrance:
        return False
    return Assignment.objects.filter(
        person=person, case__corpus=plan.corpus_id, purpose=Purpose.GOLD, state=AssignmentState.OPEN
    ).exists()


def _plans(person: User, corpus: Corpus | None) -> Iterable[ReviewPlan]:
    """The newest plans that ask for gold cases, of corpora in which the person works and is not paused.

    Leads are not asked: they know which cases are gold.
    """
    corpora = open_to(person, Action.REVIEW).exclude(pk__in=paused_in(person))
    corpora = corpora.exclude(pk__in=open_to(person, Action.ASSIGN).values("pk"))
    corpora = corpora if corpus is None else corpora.filter(pk=corpus.pk)
    newest = (
        ReviewPlan.objects.filter(corpus__in=corpora).order_by("corpus_id", "-version").distinct("corpus_id")
    )
    return [plan for plan in newest if plan.gold_entrance or plan.gold_share]
