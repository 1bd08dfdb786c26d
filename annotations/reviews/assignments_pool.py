"""The cases that wait for somebody: querysets that `take_next` and the sharing out read from, in review order."""

from collections.abc import Collection

from django.db.models import Exists, OuterRef, Q, QuerySet

from annotations.cases.models import Case, CaseStatus, in_review_order
from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus
from annotations.reviews.assignments_rules import NEEDS, PASSES, counting_reviews
from annotations.reviews.models import (
    Assignment,
    AssignmentState,
    Purpose,
    Review,
    ReviewOutcome,
    ReviewPlan,
    Strategy,
)
from crashdesk.accounts.models import User

DRAFTED = (CaseStatus.PREDICTED, CaseStatus.IN_REVIEW)
"""Where a first pass is due. A ready case waits for its draft, or for a push that asks for cases without one."""


def strategies() -> dict[int, str]:
    """By corpus, the strategy of its newest plan. A corpus without a plan is not named: people take there."""
    newest = ReviewPlan.objects.order_by("corpus", "-version").distinct("corpus")
    return dict(newest.values_list("corpus", "strategy"))


def corpora_for(
    person: User, purpose: Purpose, *, corpus: Corpus | None, barred: Collection[int], taking: bool = True
) -> list[int]:
    """The corpora in which the person may be given this; when taking, not those that are shared out to people."""
    found = set(open_to(person, NEEDS[purpose]).values_list("pk", flat=True)) - set(barred)
    if corpus is not None:
        found &= {corpus.pk}
    if taking and purpose in PASSES:
        found -= {pk for pk, strategy in strategies().items() if strategy != Strategy.PULL}
    return sorted(found)


def _assignments(purposes: Collection[Purpose]) -> QuerySet[Assignment]:
    return Assignment.objects.filter(
        case=OuterRef("pk"), state=AssignmentState.OPEN, purpose__in=list(purposes)
    )


def _reviews() -> QuerySet[Review]:
    return counting_reviews().filter(case=OuterRef("pk"))


def waiting(purpose: Purpose, corpora: Collection[int]) -> QuerySet[Case]:
    """Cases of these corpora that lack somebody for this purpose, the ranked ones first."""
    cases = Case.objects.filter(corpus__in=list(corpora)).order_by(in_review_order(), "id")
    if purpose == Purpose.SECOND:
        return cases.filter(~Exists(_assignments([purpose])), status=CaseStatus.SUBMITTED, draw__second=True)
    if purpose == Purpose.ADJUDICATE:
        return cases.filter(
            ~Exists(_assignments([purpose])), status__in=[CaseStatus.DISPUTED, CaseStatus.ADJUDICATING]
        )
    if purpose == Purpose.DOUBLE:
        first = Q(Exists(_assignments([Purpose.ANNOTATE])))
        first |= Q(Exists(_reviews().filter(purpose=Purpose.ANNOTATE)))
        return cases.filter(
            first, ~Exists(_assignments([purpose])), ~Exists(_reviews().filter(purpose=purpose)),
            status__in=DRAFTED, draw__double=True,
        )  # fmt: skip
    if purpose == Purpose.ANNOTATE:
        due = Q(~Exists(_assignments([purpose])), status__in=DRAFTED)
        due &= Q(~Exists(_reviews().filter(purpose=purpose)))
        again = Q(~Exists(_assignments(PASSES)), status=CaseStatus.RETURNED)
        return cases.filter(due | again, status__in=[*DRAFTED, CaseStatus.RETURNED])
    raise ValueError(f"nobody waits for {purpose}")


def not_of(cases: QuerySet[Case], person: User, purpose: Purpose) -> QuerySet[Case]:
    """Without those whose other pass is the person's, or which they answered themselves."""
    asked = Assignment.objects.filter(case=OuterRef("pk"), person=person).exclude(purpose=Purpose.GOLD)
    answered = Exists(_reviews().filter(reviewer=person))
    if purpose == Purpose.ANNOTATE:
        second = Exists(_reviews().filter(purpose=Purpose.DOUBLE, reviewer=person))
        cases = cases.filter(~answered | Q(status=CaseStatus.RETURNED) & ~second)
        return cases.filter(
            ~Exists(asked.filter(purpose=Purpose.DOUBLE, state=AssignmentState.DONE)),
            ~Exists(asked.filter(state=AssignmentState.OPEN)),
        )
    held = (AssignmentState.OPEN, AssignmentState.DONE)
    return cases.filter(~answered, ~Exists(asked.filter(purpose__in=PASSES, state__in=held)))


def let_go_by(person: User) -> Q:
    """Of cases: the person gave it back, or passed on it. They get it again only when nothing else is left."""
    released = Assignment.objects.filter(
        case=OuterRef("pk"), person=person, state=AssignmentState.RELEASED
    ).exclude(purpose=Purpose.GOLD)
    skipped = Review.objects.filter(case=OuterRef("pk"), reviewer=person, outcome=ReviewOutcome.SKIPPED)
    return Q(Exists(released)) | Q(Exists(skipped))
