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
    """Submitted reviews by which somebody answered or looked over their case: no gold ones, no adjudicator's decision.

    An adjudicator may decide again after a return, and what they decided goes back to those who answered.
    """
    submitted = Review.objects.filter(outcome=ReviewOutcome.SUBMITTED)
    return submitted.exclude(purpose__in=[Purpose.GOLD, Purpose.ADJUDICATE])


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
    asked = list(Assignment.objects.filter(case=case, state__in=HELD).select_related("person"))
    reviews = list(counting_reviews().filter(case=case).select_related("reviewer"))
    return _own(case, person, purpose, asked, reviews) or _slot(case, person, purpose, asked, reviews)


def _own(
    case: Case, person: User, purpose: Purpose, asked: list[Assignment], reviews: list[Review]
) -> Problem | None:
    """The person's other part in this case, where that forbids this one."""
    parts = {one.purpose for one in asked if one.person_id == person.pk}
    said = {review.purpose for review in reviews if review.reviewer_id == person.pk}
    if purpose in PASSES:
        if (PASSES - {purpose}) & (parts | said):
            return Problem("both_passes", f"{person.username} has the other pass over case {case.pk}.")
    elif said or PASSES & parts:
        return Problem("own_case", f"{person.username} has answered case {case.pk}; another person must.")
    return None


def _slot(
    case: Case, person: User, purpose: Purpose, asked: list[Assignment], reviews: list[Review]
) -> Problem | None:
    """Somebody has or had this pass already. A returned case is to be answered again."""
    held = [one for one in asked if one.state == AssignmentState.OPEN]
    for one in held:
        if one.person_id == person.pk or (one.purpose == purpose and purpose != Purpose.GOLD):
            return Problem(
                "already_assigned",
                f"Case {case.pk} is with {one.person.username} to {one.get_purpose_display()}.",
                fields={"assignment": one.pk, "person": one.person_id},
            )
    done = [review for review in reviews if review.purpose == purpose]
    if purpose in PASSES and case.status != CaseStatus.RETURNED and done:
        return Problem("pass_done", f"Case {case.pk}: {done[0].reviewer.username} has made this pass.")
    return None
