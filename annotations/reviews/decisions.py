"""What a lead decides about a case: approve, return, exclude, reopen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import RuleFinding, check
from annotations.cases.services import point_approved, said_by, settle_media
from annotations.cases.workflow import InvalidMove, move
from annotations.corpora.access import require
from annotations.reviews.assignments import hand_back
from annotations.reviews.changes import says_the_same
from annotations.reviews.disputes import drop_live
from annotations.reviews.draws import draw_of
from annotations.reviews.models import Review
from annotations.reviews.passes import answered, latest_submitted
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_somewhere
from crashdesk.api.errors import Problem


@dataclass(frozen=True)
class Decision:
    """How one case of a bulk decision ended: `problem` is None where it went through."""

    case_id: int
    problem: Problem | None


def _reason(reason: str, *, limit: int) -> str:
    words = reason.strip()
    if not words:
        raise Problem("reason_needed", "Say why.", fields={"reason": ["must not be empty"]}, status=400)
    if len(words) > limit:
        message = f"at most {limit} characters, this has {len(words)}"
        raise Problem("reason_too_long", "The reason is too long.", fields={"reason": [message]}, status=400)
    return words


def findings_of(review: Review) -> list[RuleFinding]:
    """Every rule the review's answers break, and every part of it that could not be read."""
    media = review.case.video.media
    unread = [
        RuleFinding(problem["code"], (problem["kind"],) if problem["kind"] else (), problem["message"])
        for problem in review.problems
    ]
    return unread + check(said_by(review.answers.all()), duration_us=media.duration_us if media else None)


@transaction.atomic
def approve(*, case: Case, by: User) -> Case:
    """Let the answers of the latest submitted review count.

    Raises Problem: not_allowed, not_found, nothing_submitted, needs_another_person (the case was drawn for a second
    look, and `by` answered it or changed an answer when looking it over), blocked_by_findings (fields.findings lists
    them), invalid_move.
    """
    require(by, Action.APPROVE, case.corpus_id)
    case = Case.objects.select_for_update().get(pk=case.pk)
    if case.status != CaseStatus.SUBMITTED:
        message = f"Case {case.pk} is {case.status}; only what was submitted is approved."
        raise InvalidMove("invalid_move", message)
    move(case, CaseStatus.APPROVED, by=by)
    review = latest_submitted(case)
    if review is None:
        raise Problem("nothing_submitted", f"Case {case.pk} has no submitted review.")
    if draw_of(case).second and _wrote(case, review, by):
        raise Problem(
            "needs_another_person",
            f"Case {case.pk} was drawn for a second look; {by.username} wrote answers that count, "
            "so another person approves it.",
        )
    raise_findings(case, findings_of(review))
    point_approved(case=case, answers=review.answers.all(), by=by)
    return case


def _wrote(case: Case, review: Review, person: User) -> bool:
    """Whether the person answered the case, or changed something of that in `review`, which counts now.

    Saying the same as the latest pass is looking it over; a different answer is the person's own.
    """
    passes = answered(case)
    if any(passed.reviewer_id == person.pk for passed in passes):
        return True
    if review.reviewer_id != person.pk:
        return False
    before = said_by(passes[-1].answers.all()) if passes else {}
    now = said_by(review.answers.all())
    return now.keys() != before.keys() or any(not says_the_same(now[kind], before[kind]) for kind in now)


def finding_data(finding: RuleFinding) -> dict[str, Any]:
    """A finding as JSON: {code, kinds, message, blocks}."""
    return {
        "code": finding.code,
        "kinds": list(finding.kinds),
        "message": finding.message,
        "blocks": finding.blocks,
    }


def raise_findings(case: Case, findings: Sequence[RuleFinding]) -> None:
    """Problem blocked_by_findings where one of them blocks; fields.findings lists those."""
    blocking = [finding for finding in findings if finding.blocks]
    if blocking:
        raise Problem(
            "blocked_by_findings",
            f"Case {case.pk}: {'; '.join(finding.message for finding in blocking)}.",
            fields={"findings": [finding_data(finding) for finding in blocking]},
        )


def approve_many(*, case_ids: Sequence[int], by: User) -> list[Decision]:
    """Approve each case on its own, so that one that cannot be approved never holds back the others."""
    if not may_somewhere(by, Action.APPROVE):
        raise Problem("not_allowed", f"{by.username} may not approve a case.", status=403)
    cases = Case.objects.in_bulk(case_ids)
    decisions = []
    for case_id in dict.fromkeys(case_ids):
        problem = None
        if case_id not in cases:
            problem = Problem("not_found", f"There is no case {case_id}.", status=404)
        else:
            try:
                approve(case=cases[case_id], by=by)
            except Problem as refused:
                problem = refused
        decisions.append(Decision(case_id, problem))
    return decisions


@transaction.atomic
def return_case(*, case: Case, reason: str, by: User) -> Case:
    """Give a submitted or approved case back to whoever answered it. An approved one loses its approved answers."""
    require(by, Action.APPROVE, case.corpus_id)
    words = _reason(reason, limit=500)
    case = Case.objects.select_for_update().get(pk=case.pk)
    was_approved = case.status == CaseStatus.APPROVED
    move(case, CaseStatus.RETURNED, by=by, reason=words)
    if was_approved:
        point_approved(case=case, answers=[], by=by)
    hand_back(case=case, by=by)
    return case


@transaction.atomic
def exclude(*, case: Case, reason: str, by: User) -> Case:
    """Take an open case out of the work, with the reason."""
    require(by, Action.EXCLUDE, case.corpus_id)
    words = _reason(reason, limit=300)
    case = Case.objects.select_for_update().get(pk=case.pk)
    drop_live(case, by=by, why="the case was excluded")
    move(case, CaseStatus.EXCLUDED, by=by, reason=words)
    return case


@transaction.atomic
def reopen(*, case: Case, by: User, reason: str = "reopened") -> Case:
    """Take an excluded case back to its start, or give an approved one back to the annotator."""
    case = Case.objects.select_for_update().get(pk=case.pk)
    if case.status == CaseStatus.APPROVED:
        return return_case(case=case, reason=reason, by=by)
    require(by, Action.EXCLUDE, case.corpus_id)
    if case.status != CaseStatus.EXCLUDED:
        message = f"Case {case.pk} is {case.status}; only an excluded or approved case is reopened."
        raise InvalidMove("invalid_move", message)
    move(case, CaseStatus.NEW, by=by, reason=reason)
    settle_media(case, by=by)
    return case
