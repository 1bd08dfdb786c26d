"""Moving many cases at once: the same table, conditions and audit rows as annotations.cases.workflow.move."""

from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction
from django.utils import timezone

from annotations.cases.models import Case, CaseStatus
from annotations.cases.workflow import sources_of
from crashdesk.accounts.models import User
from crashdesk.audit.services import record_ids


@transaction.atomic
def move_many(case_ids: Iterable[int], to: CaseStatus, *, by: User | None) -> list[int]:
    """Move those of the cases that may become `to`, and return their ids. The others stay as they are.

    Not for moves that need a reason (returned, excluded). Cases are locked in the order of their ids.
    """
    if to in (CaseStatus.RETURNED, CaseStatus.EXCLUDED):
        raise ValueError(f"a case becomes {to} for a reason of its own")
    movable = Case.objects.filter(pk__in=list(case_ids), status__in=sources_of(to)).order_by("pk")
    before: dict[str, list[int]] = defaultdict(list)
    for pk, status in movable.select_for_update().values_list("pk", "status"):
        before[status].append(pk)
    moved = sorted(pk for ids in before.values() for pk in ids)
    Case.objects.filter(pk__in=moved).update(
        status=to, status_changed_at=timezone.now(), excluded_reason="", returned_reason=""
    )
    for status, ids in before.items():
        record_ids(
            actor=by, verb=f"case.{to.value}", model=Case, ids=ids, data={"from": status, "reason": ""}
        )
    return moved
