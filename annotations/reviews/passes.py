"""Which reviews of a case count, and for what."""

from typing import Final

from django.db.models import QuerySet

from annotations.cases.models import Case
from annotations.reviews.models import Purpose, Review, ReviewOutcome

BLIND_TO_EACH_OTHER: Final = (Purpose.ANNOTATE, Purpose.DOUBLE)
"""Answers somebody gave without having seen another person's."""


def counting(case: Case) -> QuerySet[Review]:
    """The submitted reviews that can decide about the case, oldest first: not withdrawn ones, and never a gold one."""
    submitted = Review.objects.filter(case=case, outcome=ReviewOutcome.SUBMITTED)
    return submitted.exclude(purpose=Purpose.GOLD).order_by("submitted_at", "id")


def latest_submitted(case: Case) -> Review | None:
    """The review that would count if the case were approved now."""
    return counting(case).last()


def answered(case: Case) -> list[Review]:
    """Each person's newest pass that counts, oldest first. What a second look or an adjudicator says is no pass."""
    newest = {
        review.reviewer_id: review
        for review in counting(case).filter(purpose__in=BLIND_TO_EACH_OTHER).select_related("reviewer")
    }
    return sorted(newest.values(), key=lambda review: (review.submitted_at, review.pk))


def both_passes(case: Case) -> tuple[Review, Review] | None:
    """The first and the second pass of a case that two people answer; None while one is missing.

    People who came without being asked make the pass that is missing; of more than two people the newest count.
    """
    passes = answered(case)
    seconds = [review for review in passes if review.purpose == Purpose.DOUBLE]
    firsts = [review for review in passes if review.purpose != Purpose.DOUBLE]
    if firsts and seconds:
        return firsts[-1], seconds[-1]
    return (passes[-2], passes[-1]) if len(passes) > 1 else None
