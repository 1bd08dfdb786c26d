"""Approval without a person, and taking it back: the two doors that only an auto-approval policy goes through."""

from collections.abc import Iterable
from typing import Final

from django.db import transaction

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus
from annotations.cases.rules import check
from annotations.cases.services import point_approved, said_by
from annotations.cases.workflow import move
from annotations.reviews.draws import draw_of
from annotations.reviews.models import AssignmentState, ReviewOutcome
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem

LONGEST: Final = 150
"""Characters that a policy's words may have on an approved answer."""


@transaction.atomic
def approve_by_policy(*, case: Case, answers: Iterable[Answer], policy: str) -> Case:
    """Let a model's six answers count without a person having looked; `policy` says by which rule, on each of them.

    Only a predicted case that nobody has, and that chance keeps for nobody. Raises Problem: policy_unnamed,
    answers_incomplete, not_a_draft, kept_for_people (the control arm, double and second reviews), with_people (somebody
    is asked or has answered), blocked_by_findings (any broken rule, one that only warns as well), invalid_move.
    """
    if not policy.strip() or len(policy) > LONGEST:
        raise Problem(
            "policy_unnamed", f"Say in 1 to {LONGEST} characters which policy approves.", status=400
        )
    case = Case.objects.select_for_update(of=("self",)).select_related("video__media").get(pk=case.pk)
    chosen = list(answers)
    _check_answers(case, chosen)
    draw = draw_of(case)
    if draw.blind or draw.double or draw.second:
        raise Problem("kept_for_people", f"Case {case.pk} was drawn for people; no policy may approve it.")
    _check_nobody_has_it(case)
    media = case.video.media
    findings = check(said_by(chosen), duration_us=media.duration_us if media else None)
    if findings:
        messages = "; ".join(finding.message for finding in findings)
        raise Problem("blocked_by_findings", f"Case {case.pk}: {messages}.")
    move(case, CaseStatus.APPROVED, by=None, policy=True, reason=policy)
    point_approved(case=case, answers=chosen, by=None, policy=policy)
    return case


def _check_answers(case: Case, answers: list[Answer]) -> None:
    if sorted(answer.kind for answer in answers) != sorted(Kind.values):
        raise Problem("answers_incomplete", f"Case {case.pk}: a policy approves all six answers or none.")
    strangers = [a.pk for a in answers if a.case_id != case.pk or a.author_kind != AuthorKind.MODEL]
    if strangers:
        raise Problem("not_a_draft", f"Case {case.pk}: answers {strangers} are no model's answers to it.")


def _check_nobody_has_it(case: Case) -> None:
    asked = case.assignments.filter(state=AssignmentState.OPEN).exists()
    answered = case.reviews.filter(outcome__in=[ReviewOutcome.OPEN, ReviewOutcome.SUBMITTED]).exists()
    if asked or answered:
        raise Problem("with_people", f"Case {case.pk} is with people; no policy may approve it.")


@transaction.atomic
def take_back(*, case: Case, reason: str, by: User | None) -> Case:
    """Give a case that a policy approved back to people: predicted again, with no approved answers.

    Raises Problem not_by_policy where a person has approved it since, or nobody has; invalid_move.
    """
    case = Case.objects.select_for_update().get(pk=case.pk)
    approved = ApprovedAnswer.objects.filter(case=case)
    if not approved.exists() or approved.filter(policy="").exists():
        raise Problem(
            "not_by_policy", f"Case {case.pk} ({case.status}) is not approved by a policy any more."
        )
    move(case, CaseStatus.PREDICTED, by=by, policy=True, reason=reason)
    point_approved(case=case, answers=[], by=by)
    return case
