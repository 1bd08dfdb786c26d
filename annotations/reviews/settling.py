"""A case's status follows from what people have said: after every submission, edit, skip and withdrawal."""

from typing import Final

from django.db import transaction

from annotations.cases.models import Case, CaseStatus
from annotations.cases.workflow import move
from annotations.reviews.disputes import drop_live, weigh
from annotations.reviews.draws import draw_of
from annotations.reviews.models import Purpose, Review
from annotations.reviews.passes import both_passes, counting
from crashdesk.accounts.models import User
from crashdesk.audit.services import record

AWAITS_PERSON: Final = (CaseStatus.READY, CaseStatus.PREDICTED)
SUBMITTABLE: Final = (CaseStatus.IN_REVIEW, CaseStatus.RETURNED)
AFTER_REVIEW: Final = (CaseStatus.SUBMITTED, CaseStatus.DISPUTED, CaseStatus.ADJUDICATING)


@transaction.atomic
def after_submission(case: Case, review: Review, *, by: User | None) -> None:
    """Bring the case to submitted, or on to disputed; one that two people answer waits for both.

    A gold review never moves its case. A case that is approved, excluded or being predicted keeps its status, with an
    audit row that says so. The caller holds the case's row.
    """
    if review.purpose == Purpose.GOLD:
        return
    if case.status not in (*AWAITS_PERSON, *SUBMITTABLE, *AFTER_REVIEW):
        _left_alone(case, review, by=by)
        return
    if case.status in AWAITS_PERSON:
        move(case, CaseStatus.IN_REVIEW, by=by)
    double = draw_of(case).double
    passes = both_passes(case) if double else None
    if double and passes is None:
        _to_review(case, by=by)
        return
    if case.status in SUBMITTABLE:
        move(case, CaseStatus.SUBMITTED, by=by)
    if passes is not None:
        weigh(case, passes, by=by)


@transaction.atomic
def after_taking_back(case: Case, review: Review, *, by: User | None) -> None:
    """A review was withdrawn or became a skip: its case goes back in review where too little is left of it.

    The caller holds the case's row.
    """
    if review.purpose == Purpose.GOLD:
        return
    if case.status == CaseStatus.APPROVED:
        _left_alone(case, review, by=by)
    elif case.status in AFTER_REVIEW:
        double = draw_of(case).double
        passes = both_passes(case) if double else None
        if passes is not None:
            weigh(case, passes, by=by)
        elif double or not counting(case).exists():
            _to_review(case, by=by)


def _to_review(case: Case, *, by: User | None) -> None:
    drop_live(case, by=by, why="a pass was taken back")
    if case.status != CaseStatus.IN_REVIEW:
        move(case, CaseStatus.IN_REVIEW, by=by)


def _left_alone(case: Case, review: Review, *, by: User | None) -> None:
    record(
        actor=by, verb="review.case_left_alone", subject=review,
        data={"case": case.pk, "status": case.status},
    )  # fmt: skip
