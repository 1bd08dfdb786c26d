"""Many cases move as one does: by the table, with an audit row each, and never one that may not."""

import pytest

from annotations.cases.models import Case, CaseStatus
from annotations.cases.workflow_bulk import move_many
from crashdesk.accounts.models import User
from crashdesk.audit.services import history
from tests.factories import make_case

pytestmark = pytest.mark.django_db


def test_those_that_may_move_do_and_each_has_its_audit_row(lead: User) -> None:
    ready, predicted, new = (make_case(CaseStatus.READY), make_case(CaseStatus.PREDICTED), make_case())
    Case.objects.filter(pk=new.pk).update(status=CaseStatus.APPROVED)
    moved = move_many([ready.pk, predicted.pk, new.pk], CaseStatus.IN_REVIEW, by=lead)
    assert moved == sorted([ready.pk, predicted.pk])
    statuses = dict(Case.objects.values_list("pk", "status"))
    assert (statuses[ready.pk], statuses[predicted.pk], statuses[new.pk]) == (
        "in_review",
        "in_review",
        "approved",
    )
    for case, before in ((ready, "ready"), (predicted, "predicted")):
        newest = history(case).first()
        assert newest is not None
        assert (newest.verb, newest.actor, newest.data) == (
            "case.in_review", lead.username, {"from": before, "reason": ""}
        )  # fmt: skip


def test_nothing_to_move(lead: User) -> None:
    assert move_many([], CaseStatus.IN_REVIEW, by=lead) == []


def test_moves_with_a_reason_go_one_by_one(lead: User) -> None:
    with pytest.raises(ValueError, match="reason"):
        move_many([1], CaseStatus.EXCLUDED, by=lead)
