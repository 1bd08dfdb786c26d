"""Until when an answer counts as what its person was asked for. Whoever lets people answer and whoever takes their
answers in both ask here, so that nothing is let in at the one and refused at the other."""

from collections.abc import Collection

from django.db.models import Q

from annotations.cases.models import Case, CaseStatus
from annotations.reviews.assignments_rules import HELD, WORKABLE
from annotations.reviews.models import Assignment, AssignmentState, Purpose
from crashdesk.accounts.models import User


def takes_answer(assignment: Assignment) -> bool:
    """Whether an answer that comes in now is the one this assignment asks for.

    An open one takes it, a released one does not. A done one takes corrections while nobody else is asked for the same
    pass. One that has expired takes the late answer while the case still needs one, unless somebody else has begun or
    made the same pass since, or its person has been asked for another one of the same case. Gold passes are each
    person's own: nobody else's stands in their way.
    """
    if assignment.state in (AssignmentState.OPEN, AssignmentState.RELEASED):
        return assignment.state == AssignmentState.OPEN
    case = Assignment.objects.filter(case=assignment.case_id).exclude(pk=assignment.pk)
    others = case.filter(purpose=assignment.purpose).exclude(person=assignment.person_id)
    if assignment.purpose == Purpose.GOLD:
        others = others.none()
    if assignment.state == AssignmentState.DONE:
        return not others.filter(state=AssignmentState.OPEN).exists()
    if CaseStatus(assignment.case.status) not in WORKABLE[Purpose(assignment.purpose)]:
        return False
    begun = Q(state=AssignmentState.OPEN, opened_at__isnull=False) | Q(state=AssignmentState.DONE)
    return not (
        others.filter(begun, pk__gt=assignment.pk).exists()
        or case.filter(person=assignment.person_id, state__in=HELD, pk__gt=assignment.pk).exists()
    )


def asked_of(case: Case, person: User, purposes: Collection[Purpose]) -> Assignment | None:
    """What the person was last asked to do with the case among these purposes, where it takes an answer now."""
    asked = Assignment.objects.filter(case=case, person=person, purpose__in=purposes).select_related("case")
    last = asked.order_by("-id").first()
    return last if last is not None and takes_answer(last) else None
