"""How a case moves: a table, and the one function that may change a case's status."""

from typing import Final

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

S = CaseStatus
TRANSITIONS: Final[dict[CaseStatus, frozenset[CaseStatus]]] = {
    S.NEW: frozenset({S.READY, S.EXCLUDED}),
    S.READY: frozenset({S.PREDICTING, S.IN_REVIEW, S.EXCLUDED}),
    S.PREDICTING: frozenset({S.PREDICTED, S.READY, S.EXCLUDED}),
    S.PREDICTED: frozenset({S.PREDICTING, S.IN_REVIEW, S.EXCLUDED}),
    S.IN_REVIEW: frozenset({S.SUBMITTED, S.PREDICTED, S.EXCLUDED}),
    S.SUBMITTED: frozenset({S.APPROVED, S.RETURNED, S.DISPUTED, S.IN_REVIEW, S.EXCLUDED}),
    S.RETURNED: frozenset({S.SUBMITTED, S.IN_REVIEW, S.EXCLUDED}),
    S.DISPUTED: frozenset({S.ADJUDICATING, S.SUBMITTED, S.IN_REVIEW, S.EXCLUDED}),
    S.ADJUDICATING: frozenset({S.APPROVED, S.DISPUTED, S.SUBMITTED, S.IN_REVIEW, S.EXCLUDED}),
    S.APPROVED: frozenset({S.RETURNED}),
    S.EXCLUDED: frozenset({S.NEW}),
}


POLICY_TRANSITIONS: Final[dict[CaseStatus, frozenset[CaseStatus]]] = {
    S.PREDICTED: frozenset({S.APPROVED}),
    S.APPROVED: frozenset({S.PREDICTED}),
}
"""Open to a lead's auto-approval policy alone, never to a person: a sure draft approved unseen, and taken back."""


class InvalidMove(Problem):
    """The case is not in a status that allows this move."""


def sources_of(to: CaseStatus, *, policy: bool = False) -> list[CaseStatus]:
    """The statuses from which a case may become `to`; `policy`: by the table of auto-approval policies."""
    table = POLICY_TRANSITIONS if policy else TRANSITIONS
    return [status for status, targets in table.items() if to in targets]


@transaction.atomic
def move(case: Case, to: CaseStatus, *, by: User | None, reason: str = "", policy: bool = False) -> None:
    """Move a case by one conditional UPDATE and write the audit row, or raise InvalidMove.

    `reason` is kept on the case when it is returned or excluded. `policy`: an auto-approval policy moves it, by a table
    of its own. `case` is refreshed.
    """
    before = case.status
    changed = Case.objects.filter(pk=case.pk, status__in=sources_of(to, policy=policy)).update(
        status=to,
        status_changed_at=timezone.now(),
        excluded_reason=reason if to == S.EXCLUDED else "",
        returned_reason=reason if to == S.RETURNED else "",
    )
    case.refresh_from_db()
    if not changed:
        raise InvalidMove("invalid_move", f"Case {case.pk} is {case.status}; it cannot become {to}.")
    record(actor=by, verb=f"case.{to.value}", subject=case, data={"from": before, "reason": reason})
