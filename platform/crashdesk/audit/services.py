"""Writing audit rows. Call inside the transaction that makes the change."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, models

from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent


def record(
    *, actor: User | None, verb: str, subject: models.Model, data: dict[str, Any] | None = None
) -> None:
    """Append one row. `actor` None means the system itself. Raises RuntimeError outside a transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("an audit row belongs in the transaction of the change it records")
    AuditEvent.objects.create(
        actor=actor.username if actor else "system",
        verb=verb,
        subject_type=subject._meta.model_name or "",
        subject_id=subject.pk,
        data=data or {},
    )


def record_many(
    *, actor: User | None, verb: str, subjects: Sequence[models.Model], data: dict[str, Any] | None = None
) -> None:
    """Append one row per subject (all of one model) in one statement. Raises RuntimeError outside a transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("an audit row belongs in the transaction of the change it records")
    AuditEvent.objects.bulk_create(
        [
            AuditEvent(
                actor=actor.username if actor else "system",
                verb=verb,
                subject_type=subject._meta.model_name or "",
                subject_id=subject.pk,
                data=data or {},
            )
            for subject in subjects
        ],
        batch_size=1000,
    )


def history(subject: models.Model) -> models.QuerySet[AuditEvent]:
    """All rows about one object, newest first."""
    return AuditEvent.objects.filter(subject_type=subject._meta.model_name, subject_id=subject.pk)
