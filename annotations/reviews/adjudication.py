"""A third person decides a dispute: task by task the first's answer, the second's, or one of their own."""

import hashlib
import json
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case, CaseStatus
from annotations.cases.rules import RuleFinding, Said, check
from annotations.cases.services import add_person_answer, point_approved, said_by
from annotations.cases.workflow import move
from annotations.corpora.access import require
from annotations.reviews.assignments import assign, begin, close, keep, release
from annotations.reviews.decisions import raise_findings
from annotations.reviews.disputes import LIVE, close_dispute, disputed_kinds
from annotations.reviews.models import (
    Assignment,
    AssignmentState,
    Choice,
    Dispute,
    DisputeState,
    Purpose,
    Review,
    ReviewOutcome,
    Ruling,
    Way,
)
from annotations.reviews.passes import counting
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

SIDES: Final = (Choice.FIRST, Choice.SECOND)


def is_free(dispute: Dispute) -> bool:
    """Whether nobody is at it: not claimed, or its adjudicator let the reservation go."""
    return dispute.state in LIVE and (
        dispute.assignment is None or dispute.assignment.state != AssignmentState.OPEN
    )


@transaction.atomic
def claim(*, dispute: Dispute, by: User, names: bool = False) -> Dispute:
    """Take the dispute to decide it. `names`: see who said what; without, the answers have no names.

    One's own claim again changes nothing but the names. Whoever takes over from somebody else begins without their
    rulings. Raises Problem: not_allowed, not_found; dispute_closed; already_assigned; own_case (a person whose answer
    is in dispute, or who answered the case, never decides).
    """
    case, dispute = _locked(dispute, by=by)
    if dispute.state not in LIVE:
        raise Problem("dispute_closed", f"The dispute about case {case.pk} is {dispute.state}.")
    if counting(case).exclude(purpose=Purpose.ADJUDICATE).filter(reviewer=by).exists():
        raise Problem("own_case", f"{by.username} has answered case {case.pk}; another person must decide.")
    asked = Assignment.objects.filter(
        case=case, purpose=Purpose.ADJUDICATE, state=AssignmentState.OPEN
    ).first()
    if asked is not None and asked.person_id != by.pk:
        raise Problem("already_assigned", f"Somebody else decides the dispute about case {case.pk}.")
    minutes = dispute.plan.reservation_minutes
    asked = asked or assign(
        case=case, person=by, purpose=Purpose.ADJUDICATE, way=Way.TAKEN, by=by, minutes=minutes
    )
    begin(asked)
    before = dispute.assignment
    if before is not None and before.person_id != by.pk:
        _forget_rulings(dispute)
    dispute.assignment, dispute.state = asked, DisputeState.CLAIMED
    if names and dispute.names_shown_at is None:
        dispute.names_shown_at = timezone.now()
    dispute.save()
    if before != asked:
        record(actor=by, verb="dispute.claimed", subject=dispute, data={"case": case.pk, "names": names})
    if case.status == CaseStatus.DISPUTED:
        move(case, CaseStatus.ADJUDICATING, by=by)
    return dispute


@transaction.atomic
def show_names(*, dispute: Dispute, by: User) -> Dispute:
    """Let the adjudicator see who said what, from now on; that they did is kept."""
    case, dispute = _locked(dispute, by=by)
    _mine(dispute, by)
    if dispute.names_shown_at is None:
        dispute.names_shown_at = timezone.now()
        dispute.save()
        record(actor=by, verb="dispute.names_shown", subject=dispute, data={"case": case.pk})
    return dispute


@transaction.atomic
def rule(*, dispute: Dispute, kind: str, choice: str, by: User, said: Said | None = None) -> Ruling:
    """Decide one task: the first's answer, the second's, or `said` in words or times of one's own.

    May be decided again until the case is approved; the audit log keeps every decision. Raises Problem: not_yours,
    invalid (fields), nothing_there (that side gave no answer), invalid_answer (`said` is not what its kind asks for).
    """
    case, dispute = _locked(dispute, by=by)
    asked = _mine(dispute, by)
    if kind not in Kind.values:
        raise Problem("invalid", f"There is no task {kind!r}.", fields={"kind": ["no such kind"]}, status=400)
    if choice not in (*SIDES, Choice.OWN) or (choice == Choice.OWN) != (said is not None):
        message = "must be first, second, or own together with an answer"
        raise Problem("invalid", "Say which answer counts.", fields={"choice": [message]}, status=400)
    answer = _answer(case, dispute, kind, choice, said, by=by)
    before = Ruling.objects.filter(dispute=dispute, kind=kind).values_list("choice", "answer").first()
    made, _ = Ruling.objects.update_or_create(
        dispute=dispute, kind=kind, defaults={"choice": choice, "answer": answer, "decided_by": by}
    )
    keep(person=by, case=case)
    if before != (choice, answer.pk):
        record(
            actor=by, verb="dispute.ruled", subject=dispute,
            data={"case": case.pk, "kind": kind, "choice": choice, "answer": answer.pk, "assignment": asked.pk},
        )  # fmt: skip
    return made


def _answer(case: Case, dispute: Dispute, kind: str, choice: str, said: Said | None, *, by: User) -> Answer:
    if said is not None:
        words = json.dumps([said.state, said.value], sort_keys=True)
        digest = hashlib.sha256(words.encode()).hexdigest()[:16]
        origin = f"adjudication:{dispute.pk}@{digest}"
        return add_person_answer(case=case, kind=kind, said=said, by=by, origin=origin, draft=None)[0]
    there = dispute.compared[kind][choice]
    if there is None:
        raise Problem("nothing_there", f"The {choice} person gave no answer to {kind}.")
    return Answer.objects.get(pk=there["answer"])


def chosen(dispute: Dispute) -> dict[str, tuple[str, Answer]]:
    """By kind, the choice and the answer that would count now: rulings, and what was never in dispute."""
    rulings = {ruling.kind: ruling for ruling in dispute.rulings.select_related("answer")}
    found: dict[str, tuple[str, Answer]] = {
        kind: (ruling.choice, ruling.answer) for kind, ruling in rulings.items()
    }
    agreed = {
        kind: (there["first"] or there["second"])["answer"]
        for kind, there in dispute.compared.items()
        if kind not in rulings and not there["disputed"] and (there["first"] or there["second"])
    }
    answers = Answer.objects.in_bulk(agreed.values())
    return found | {kind: (Choice.AGREED.value, answers[pk]) for kind, pk in agreed.items()}


def undecided(dispute: Dispute) -> list[str]:
    """The disputed kinds without a ruling, in the fixed order."""
    ruled = set(dispute.rulings.values_list("kind", flat=True))
    return [kind for kind in disputed_kinds(dispute.compared) if kind not in ruled]


def findings(dispute: Dispute) -> list[RuleFinding]:
    """The rules that the answers chosen so far break; what is still undecided is not missing yet."""
    media = dispute.case.video.media
    said = said_by(answer for _, answer in chosen(dispute).values())
    open_kinds = set(undecided(dispute))
    return [
        finding
        for finding in check(said, duration_us=media.duration_us if media else None)
        if not (finding.code == "missing_answer" and open_kinds & set(finding.kinds))
    ]


@transaction.atomic
def approve_decided(*, dispute: Dispute, by: User) -> Case:
    """Let the decided answers count, and keep them as a review of the adjudicator.

    Raises Problem: not_yours, undecided (fields.kinds), blocked_by_findings (fields.findings).
    """
    case, dispute = _locked(dispute, by=by)
    asked = _mine(dispute, by)
    still_open = undecided(dispute)
    if still_open:
        raise Problem(
            "undecided",
            f"Case {case.pk}: {', '.join(still_open)} not decided yet.",
            fields={"kinds": still_open},
        )
    raise_findings(case, findings(dispute))
    counted = chosen(dispute)
    Ruling.objects.bulk_create(
        Ruling(dispute=dispute, kind=kind, choice=choice, answer=answer, decided_by=by)
        for kind, (choice, answer) in counted.items()
        if choice == Choice.AGREED
    )
    now = timezone.now()
    review = Review.objects.create(
        case=case, reviewer=by, assignment=asked, purpose=Purpose.ADJUDICATE, outcome=ReviewOutcome.SUBMITTED,
        origin=f"adjudication:{dispute.pk}", submitted_at=now,
    )  # fmt: skip
    answers = [answer for _, answer in counted.values()]
    review.answers.set(answers)
    close(asked, at=now)
    close_dispute(dispute, DisputeState.SETTLED, by=by, why="decided")
    move(case, CaseStatus.APPROVED, by=by, reason=f"adjudicated in dispute {dispute.pk}")
    point_approved(case=case, answers=answers, by=by)
    return case


@transaction.atomic
def give_back(*, dispute: Dispute, by: User, reason: str = "") -> Dispute:
    """Leave the dispute to another adjudicator, who begins anew; the audit log keeps what was decided so far."""
    case, dispute = _locked(dispute, by=by)
    asked = _mine(dispute, by)
    release(assignment=asked, by=by, reason=reason)
    _forget_rulings(dispute)
    dispute.assignment, dispute.names_shown_at, dispute.state = None, None, DisputeState.OPEN
    dispute.save()
    record(
        actor=by, verb="dispute.given_back", subject=dispute, data={"case": case.pk, "reason": reason.strip()}
    )
    move(case, CaseStatus.DISPUTED, by=by)
    return dispute


def _forget_rulings(dispute: Dispute) -> None:
    dispute.rulings.all().delete()
    dispute.names_shown_at = None


def _locked(dispute: Dispute, *, by: User) -> tuple[Case, Dispute]:
    """Both rows held, the case's first as everywhere, and the person's right to decide looked at."""
    require(by, Action.ADJUDICATE, dispute.case.corpus_id)
    case = Case.objects.select_for_update().get(pk=dispute.case_id)
    found: Any = Dispute.objects.select_for_update(of=("self",))
    held: Dispute = found.select_related("plan", "assignment", "case__video__media").get(pk=dispute.pk)
    return case, held


def _mine(dispute: Dispute, by: User) -> Assignment:
    """The assignment under which this person decides now."""
    asked = dispute.assignment
    if dispute.state != DisputeState.CLAIMED or asked is None or asked.person_id != by.pk:
        raise Problem("not_yours", "Claim the dispute first: nobody, or somebody else, is at it.")
    if asked.state != AssignmentState.OPEN:
        raise Problem("not_yours", "Your reservation of this dispute has ended; claim it again.")
    return asked
