"""Writing down what people said: submitted, skipped and withdrawn reviews. Answers are only ever added."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Answer, AuthorKind, Case
from annotations.cases.rules import Said
from annotations.cases.services import add_person_answer
from annotations.reviews.assignments import close, open_assignment, release
from annotations.reviews.changes import Change, says_the_same
from annotations.reviews.models import (
    AnswerChange,
    Assignment,
    AssignmentState,
    Purpose,
    Review,
    ReviewOutcome,
)
from annotations.reviews.passes import latest_submitted
from annotations.reviews.settling import after_submission, after_taking_back
from crashdesk.accounts.models import User
from crashdesk.audit.services import record

__all__ = ["latest_submitted", "record_skip", "record_submission", "says_the_same", "withdraw"]


@transaction.atomic
def record_submission(
    *,
    case: Case,
    reviewer: User,
    origin: str,
    answers: Mapping[str, Said],
    drafts: Mapping[str, Answer],
    lead_seconds: float | None,
    revision: str,
    problems: Iterable[dict[str, Any]] = (),
    submitted_at: datetime | None = None,
    assignment: Assignment | None = None,
    changes: Mapping[str, Change] | None = None,
) -> Review:
    """Write one person's pass over a case, or its newer revision, close what they were asked, and move the case on.

    `assignment`: what the pass was asked for; None: whatever the person is asked to do with the case now, if anything.
    Where the case goes is said by annotations.reviews.settling; a gold pass moves nothing.

    A person's answer is written only where what was said differs from the draft; elsewhere the draft itself is
    the review's answer. `drafts` are those that the person was shown: none in the control arm, so that all they say is
    theirs, also where a hidden draft says the same, which they must not learn. `origin` names the pass (one Review
    each), `origin@revision` its content: calling again with both the same adds nothing. A newer revision adds answers
    and leaves the earlier ones in the history.
    `problems` ({code, kind, message}) are parts that could not be read; they block approval.
    `changes`: by kind, what became of the drafts that were shown (annotations.reviews.changes).
    A case that is approved, excluded or being predicted keeps its status, with an audit row that says so.
    Raises Problem when an answer does not have its kind's shape; nothing is written then.
    """
    case = Case.objects.select_for_update().get(pk=case.pk)
    when = submitted_at or timezone.now()
    review, created = Review.objects.select_for_update().get_or_create(
        origin=origin,
        defaults={
            "case": case,
            "reviewer": reviewer,
            "outcome": ReviewOutcome.SUBMITTED,
            "submitted_at": when,
        },
    )
    held = {} if created else {answer.kind: answer for answer in review.answers.all()}
    chosen = [
        _answer_for(
            case=case, kind=kind, said=said, by=reviewer, origin=f"{origin}@{revision}",
            draft=drafts.get(kind), held=held.get(kind),
        )
        for kind, said in answers.items()
    ]  # fmt: skip
    review.answers.set(chosen)
    review.outcome, review.submitted_at, review.withdrawn_at = ReviewOutcome.SUBMITTED, when, None
    review.lead_seconds, review.problems = lead_seconds, list(problems)
    _tie(review, _asked(case, reviewer, assignment), at=when)
    review.save()
    review.changes.all().delete()
    AnswerChange.objects.bulk_create(
        AnswerChange(review=review, kind=kind, **asdict(change)) for kind, change in (changes or {}).items()
    )
    written = sorted(answer.kind for answer in chosen if answer.author_kind == AuthorKind.PERSON)
    record(
        actor=reviewer, verb="review.submitted", subject=review,
        data={"case": case.pk, "revision": revision, "changed": written, "problems": len(review.problems)},
    )  # fmt: skip
    after_submission(case, review, by=reviewer)
    return review


def _asked(case: Case, reviewer: User, given: Assignment | None) -> Assignment | None:
    """What a pass answers: what it was made for, or what its person is asked for the same purpose once more."""
    now = open_assignment(case, reviewer)
    return now if now is not None and (given is None or given.purpose == now.purpose) else given


def _tie(review: Review, assignment: Assignment | None, *, at: datetime) -> None:
    """Let the review be what was asked, and close what it answers.

    Somebody else's pass over a task that was made for one person is what that task is, and closes nothing. An
    assignment whose review was taken back is answered anew by the next one; a deciding one is closed by its decision.
    """
    if assignment is None:
        return
    review.purpose = assignment.purpose
    if assignment.purpose == Purpose.ADJUDICATE or assignment.person_id != review.reviewer_id:
        return
    if review.assignment_id == assignment.pk:
        return
    tied = Review.objects.filter(assignment=assignment)
    if tied.filter(outcome=ReviewOutcome.SUBMITTED).exists():
        return
    tied.update(assignment=None)
    review.assignment = assignment
    close(assignment, at=at)


def _answer_for(
    *, case: Case, kind: str, said: Said, by: User, origin: str, draft: Answer | None, held: Answer | None
) -> Answer:
    """The row that says this: the draft, what this review said before, or a new person's answer."""
    for answer in (draft, held):
        if answer is not None and says_the_same(said, Said(answer.state, answer.value)):
            return answer
    return add_person_answer(case=case, kind=kind, said=said, by=by, origin=origin, draft=draft)[0]


@transaction.atomic
def record_skip(
    *,
    case: Case,
    reviewer: User,
    origin: str,
    lead_seconds: float | None,
    assignment: Assignment | None = None,
) -> Review:
    """Somebody passed on this case without answering. The case stays, or goes back, in review for the next person.

    What they were asked (`assignment`, or whatever is open for them) is released.
    """
    case = Case.objects.select_for_update().get(pk=case.pk)
    review, created = Review.objects.select_for_update().get_or_create(
        origin=origin, defaults={"case": case, "reviewer": reviewer, "outcome": ReviewOutcome.SKIPPED}
    )
    if not created and review.outcome == ReviewOutcome.SKIPPED:
        return review
    review.outcome, review.lead_seconds, review.withdrawn_at = ReviewOutcome.SKIPPED, lead_seconds, None
    asked = _asked(case, reviewer, assignment)
    if asked is not None:
        review.purpose = asked.purpose
        if asked.state == AssignmentState.OPEN and asked.person_id == reviewer.pk:
            release(assignment=asked, by=reviewer, reason="skipped")
    review.save()
    record(actor=reviewer, verb="review.skipped", subject=review, data={"case": case.pk})
    after_taking_back(case, review, by=reviewer)
    return review


@transaction.atomic
def withdraw(*, review: Review, by: User | None) -> Review:
    """What was said no longer counts (its annotation was deleted). The answers stay in the history.

    A submitted case without another submitted review goes back in review; an approved case is left alone.
    """
    case = Case.objects.select_for_update().get(pk=review.case_id)
    review = Review.objects.select_for_update().get(pk=review.pk)
    if review.outcome == ReviewOutcome.WITHDRAWN:
        return review
    before = review.outcome
    review.outcome, review.withdrawn_at = ReviewOutcome.WITHDRAWN, timezone.now()
    review.save()
    record(actor=by, verb="review.withdrawn", subject=review, data={"case": case.pk, "was": before})
    after_taking_back(case, review, by=by)
    return review
