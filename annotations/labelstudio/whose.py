"""Whose answer a task asks for. Label Studio lets any member answer any task; here it is raised when the wrong one did.

A task made for one assignment is that person's alone. A case's own task belongs to whoever is or was asked to answer
the case or to look it over; where nobody was asked, to the first who answered. How late an answer may come, and until
when it may be corrected, is said by annotations.reviews.late.
"""

from annotations.labelstudio.models import LabelStudioTask
from annotations.reviews.late import asked_of, takes_answer
from annotations.reviews.models import Assignment, AssignmentState, Purpose, ReviewOutcome
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem

ON_THE_CASES_OWN_TASK = (Purpose.ANNOTATE, Purpose.SECOND, Purpose.ADJUDICATE)


def check_person(row: LabelStudioTask, person: User) -> None:
    """Raises Problem when this person's answer on this task must not count, with what a lead can do about it."""
    if row.assignment is not None:
        _check_own_task(row.assignment, person)
        return
    if asked_of(row.case, person, ON_THE_CASES_OWN_TASK) is not None:
        return
    held = Assignment.objects.filter(case=row.case_id, state=AssignmentState.OPEN).select_related("person")
    if any(one.person_id == person.pk for one in held):
        message = (
            f"{person.username} has a task of their own for case {row.case_id} and answered in another one."
        )
        raise Problem("labelstudio_wrong_task", f"{message} Their own task is the one that counts.")
    others = [one.person.username for one in held if one.purpose in ON_THE_CASES_OWN_TASK]
    if others:
        message = f"case {row.case_id} is assigned to {', '.join(others)}, but {person.username} answered."
        raise Problem("labelstudio_wrong_person", f"{message} {_what_to_do(person)}")
    earlier = _answered_before(row, person)
    if earlier is not None:
        message = f"{earlier.username} has answered case {row.case_id}, and so has {person.username}."
        raise Problem("labelstudio_two_people", f"{message} {_what_to_do(person)}")


def _check_own_task(assignment: Assignment, person: User) -> None:
    if assignment.person_id != person.pk:
        message = f"the task is {assignment.person.username}'s alone, but {person.username} answered it."
        raise Problem("labelstudio_wrong_person", f"{message} Delete that annotation in Label Studio.")
    if not takes_answer(assignment):
        message = f"{person.username} answered after their assignment was {assignment.state}."
        raise Problem(
            "labelstudio_assignment_ended", f"{message} Assign the case to them again to let it count."
        )


def late_pass(row: LabelStudioTask, person: User) -> Assignment | None:
    """The pass that this person's answer makes after its time was over; None where it was not, or nothing was asked."""
    asked = row.assignment or asked_of(row.case, person, ON_THE_CASES_OWN_TASK)
    return asked if asked is not None and asked.state == AssignmentState.EXPIRED else None


def _answered_before(row: LabelStudioTask, person: User) -> User | None:
    """Somebody else whose answer on this task was taken in and still stands."""
    standing = row.annotations.filter(deleted_at__isnull=True, review__outcome=ReviewOutcome.SUBMITTED)
    first = (
        standing.exclude(review__reviewer=person).select_related("review__reviewer").order_by("id").first()
    )
    return first.review.reviewer if first is not None else None


def _what_to_do(person: User) -> str:
    return f"Assign the case to {person.username} to let that answer count, or delete the annotation in Label Studio."
