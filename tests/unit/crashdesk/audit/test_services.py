"""The audit log is append-only and belongs to the transaction of the change."""

import pytest
from django.db import transaction

from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from crashdesk.audit.services import history, record


@pytest.mark.django_db
def test_rows_cannot_be_changed_or_removed(lead: User) -> None:
    record(actor=lead, verb="tested", subject=lead, data={"why": "to see"})
    event = history(lead).get()
    assert (event.actor, event.verb, event.data) == ("the-lead", "tested", {"why": "to see"})
    event.verb = "rewritten"
    with pytest.raises(TypeError, match="append-only"):
        event.save()
    with pytest.raises(TypeError, match="append-only"):
        event.delete()


@pytest.mark.django_db(transaction=True)
def test_a_row_outside_a_transaction_is_refused(lead: User) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        record(actor=lead, verb="tested", subject=lead)
    with transaction.atomic():
        record(actor=None, verb="tested", subject=lead)
    assert AuditEvent.objects.get().actor == "system"
