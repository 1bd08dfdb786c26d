"""Who may be asked for which pass over which case. Reading only; whoever writes holds the case's row lock."""

from typing import Final

from django.db.models import QuerySet

from annotations.cases.models import Case, CaseStatus
from annotations.reviews.draws import draw_of
from annotations.reviews.models import Assignment, AssignmentState, Purpose, Review, ReviewOutcome
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_in
from crashdesk.api.errors import Problem

PASSES: Final = frozenset({Purpose.ANNOTATE, Purpose.DOUBLE})
"""The purposes that answer a case. Nobody gets both of one case."""

NEEDS: Final[dict[Purpose, Action]] = {
    Purpose.ANNOTATE: Action.REVIEW,
    Purpose.DOUBLE: Action.REVIEW,
    Purpose.GOLD: Action.REVIEW,
    Purpose.SECOND: Action.APPROVE,
    Purpose.ADJUDICATE: Action.ADJUDICATE,
}
WORKABLE: Final[dict[Purpose, frozenset[CaseStatus]]] = {
    Purpose.ANNOTATE: frozenset(
        {CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.IN_REVIEW, CaseStatus.RETURNED}
    ),
    Purpose.DOUBLE: frozenset(
        {CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.IN_REVIEW, CaseStatus.RETURNED}
    ),
    Purpose.SECOND: frozenset({CaseStatus.SUBMITTED}),
    Purpose.ADJUDICATE: frozenset({CaseStatus.DISPUTED, CaseStatus.ADJUDICATING}),
    Purpose.GOLD: frozenset(CaseStatus),
}
HELD: Final = (AssignmentState.OPEN, AssignmentState.DONE)


def counting_reviews() -> QuerySet[Review]:
    """Submitted reviews that can decide about their case, as annotations.reviews.passes counts them."""
    return Review.objects.filter(outcome=ReviewOutcome.SUBMITTED).exclude(purpose=Purpose.GOLD)


def in_the_way(*, case: Case, person: User, purpose: Purpose) -> Problem | None:
    """Why this person cannot be asked for this pass over this case now; None when they can.

    Problem codes: person_may_not, wrong_status, not_double, both_passes, own_case, pass_done, already_assigned.
    """
    if not may_in(person, NEEDS[purpose], case.corpus_id):
        return Problem("person_may_not", f"{person.username} may not {NEEDS[purpose]} cases of this corpus.")
    if CaseStatus(case.status) not in WORKABLE[purpose]:
        return Problem("wrong_status", f"Case {case.pk} is {case.status}: nobody is needed for {purpose}.")
    if purpose == Purpose.DOUBLE and not draw_of(case).double:
        return Problem("not_double", f"Case {case.pk} is not among those that two people answer.")
    return _own(case, person, purpose) or _slot(case, person, purpose)


def _own(case: Case, person: User, purpose: Purpose) -> Problem | None:
    """The person's other part in this case, where that forbids this one."""
    reviews = counting_reviews().filter(case=case, reviewer=person)
    asked = Assignment.objects.filter(case=case, person=person, state__in=HELD)
    if purpose in PASSES:
        (other,) = PASSES - {purpose}
        if reviews.filter(purpose=other).exists() or asked.filter(purpose=other).exists():
            return Problem("both_passes", f"{person.username} has the other pass over case {case.pk}.")
    elif reviews.exists() or asked.filter(purpose__in=PASSES).exists():
        return Problem("own_case", f"{person.username} has answered case {case.pk}; another person must.")
    return None


def _slot(case: Case, person: User, purpose: Purpose) -> Problem | None:
    """Somebody has or had this pass already. A returned case is to be answered again."""
    holders = Assignment.objects.filter(case=case, state=AssignmentState.OPEN)
    if purpose != Purpose.GOLD:
        held = holders.filter(purpose=purpose).select_related("person").first()
        if held is not None:
            return _taken(held)
    mine = holders.filter(person=person).first()
    if mine is not None:
        return _taken(mine)
    if purpose in PASSES and case.status != CaseStatus.RETURNED:
        done = counting_reviews().filter(purpose=purpose, case=case).select_related("reviewer").first()
        if done is not None:
            return Problem("pass_done", f"Case {case.pk}: {done.reviewer.username} has made this pass.")
    return None


def _taken(held: Assignment) -> Problem:
    return Problem(
        "already_assigned",
        f"Case {held.case_id} is with {held.person.username} to {held.get_purpose_display()}.",
        fields={"assignment": held.pk, "person": held.person_id},
    )
