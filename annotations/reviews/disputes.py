"""Two people's answers to one case: compared per kind against the plan's thresholds, disputed where too far apart."""

from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from annotations.cases.rules import Said
from annotations.cases.workflow import move
from annotations.reviews.alike import agreement
from annotations.reviews.assignments import release
from annotations.reviews.draws import chance, draw_of
from annotations.reviews.models import AssignmentState, Dispute, DisputeState, Review, Ruling
from crashdesk.accounts.models import User
from crashdesk.audit.services import record

LIVE: Final = (DisputeState.OPEN, DisputeState.CLAIMED)
COMPARABLE: Final = (CaseStatus.SUBMITTED, CaseStatus.DISPUTED, CaseStatus.ADJUDICATING)

Compared = dict[str, dict[str, Any]]
"""By kind: {agreement, threshold, disputed, first, second}; the last two hold {answer, state, value} or are None."""


def compare(first: Review, second: Review, thresholds: dict[str, float]) -> Compared:
    """How far two reviews agree in every kind. A kind without a threshold is compared and never disputed."""
    sides = [{answer.kind: answer for answer in review.answers.all()} for review in (first, second)]
    unread = {str(problem["kind"]) for review in (first, second) for problem in review.problems}
    found: Compared = {}
    for kind in Kind.values:
        answers = [side.get(kind) for side in sides]
        said = [Said(one.state, one.value) if one is not None else None for one in answers]
        alike = 0.0 if kind in unread else agreement(kind, *said)
        least = thresholds.get(kind)
        told = [
            {"answer": one.pk, "state": one.state, "value": one.value} if one is not None else None
            for one in answers
        ]
        found[kind] = {
            "agreement": round(alike, 4),
            "threshold": least,
            "disputed": least is not None and alike < least,
            "first": told[0],
            "second": told[1],
        }
    return found


def disputed_kinds(compared: Compared) -> list[str]:
    """The kinds that are too far apart, in the fixed order."""
    return [kind for kind in Kind.values if compared.get(kind, {}).get("disputed")]


def live_dispute(case: Case) -> Dispute | None:
    """The dispute that keeps the case from being approved."""
    return Dispute.objects.filter(case=case, state__in=LIVE).select_related("assignment__person").first()


@transaction.atomic
def weigh(case: Case, passes: tuple[Review, Review], *, by: User | None) -> Dispute | None:
    """Compare both passes and bring the case to submitted or disputed; the dispute that is live afterwards.

    An edited answer ends the dispute that was about the answer before: with none, where the two agree now, or with a
    new one, which keeps its adjudicator and every ruling on answers that have not changed. Which side is called first
    is drawn, so that an adjudicator cannot tell who came first. The caller holds the case's row.
    """
    live = live_dispute(case)
    if case.status not in COMPARABLE:
        return live
    plan = draw_of(case).plan
    first, second = passes if chance(plan.double_seed, "sides", case.pk) < 0.5 else passes[::-1]
    found = compare(first, second, plan.thresholds)
    kinds = disputed_kinds(found)
    if live is not None and (live.first_id, live.second_id, live.compared) == (first.pk, second.pk, found):
        return live
    if not kinds:
        if live is not None:
            drop(live, by=by, why="agreed after an edit")
            move(case, CaseStatus.SUBMITTED, by=by)
        return None
    if live is not None:
        close_dispute(live, DisputeState.DROPPED, by=by, why="an answer was edited")
    made = Dispute.objects.create(case=case, plan=plan, first=first, second=second, compared=found)
    record(
        actor=by, verb="dispute.opened", subject=made,
        data={"case": case.pk, "kinds": {kind: found[kind]["agreement"] for kind in kinds}},
    )  # fmt: skip
    if live is not None:
        _carry_over(live, made)
    if case.status == CaseStatus.SUBMITTED:
        move(case, CaseStatus.DISPUTED, by=by)
    return made


def _carry_over(before: Dispute, after: Dispute) -> None:
    """The claim, and the rulings on what nobody has changed."""
    if before.assignment is None:
        return
    after.assignment, after.names_shown_at = before.assignment, before.names_shown_at
    after.state = DisputeState.CLAIMED
    after.save()
    same = [
        kind
        for kind in Kind.values
        if all(before.compared[kind][side] == after.compared[kind][side] for side in ("first", "second"))
    ]
    Ruling.objects.filter(dispute=before, kind__in=same).update(dispute=after)


@transaction.atomic
def drop(dispute: Dispute, *, by: User | None, why: str) -> None:
    """The dispute is no longer needed, and neither is its adjudicator."""
    close_dispute(dispute, DisputeState.DROPPED, by=by, why=why)
    asked = dispute.assignment
    if asked is not None and asked.state == AssignmentState.OPEN:
        release(assignment=asked, by=None, reason=f"the dispute was dropped: {why}")


def close_dispute(dispute: Dispute, state: DisputeState, *, by: User | None, why: str) -> None:
    """Settled or dropped: the caller holds the case's row."""
    dispute.state, dispute.closed_at, dispute.closed_why = state, timezone.now(), why
    dispute.save()
    record(
        actor=by, verb=f"dispute.{state.value}", subject=dispute, data={"case": dispute.case_id, "why": why}
    )


def drop_live(case: Case, *, by: User | None, why: str) -> None:
    """drop of the case's live dispute, if it has one."""
    live = live_dispute(case)
    if live is not None:
        drop(live, by=by, why=why)
