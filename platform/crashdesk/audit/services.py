"""Writing audit rows. Call inside the transaction that makes the change."""

from collections.abc import Sequence
from typing import Any

from django.db import connection, models

from crashdesk.accounts.models import User
from crashdesk.audit.corpora import corpora_of, corpus_of
from crashdesk.audit.models import AuditEvent
from crashdesk.bulk import insert_rows


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
        corpus_id=corpus_of(subject),
        data=data or {},
    )


def record_many(
    *, actor: User | None, verb: str, subjects: Sequence[models.Model], data: dict[str, Any] | None = None
) -> None:
    """Append one row per subject (all of one model) in one statement. Raises RuntimeError outside a transaction."""
    if subjects:
        record_ids(
            actor=actor, verb=verb, model=type(subjects[0]), ids=[one.pk for one in subjects], data=data
        )


def record_ids(
    *,
    actor: User | None,
    verb: str,
    model: type[models.Model],
    ids: Sequence[int],
    data: dict[str, Any] | None = None,
) -> None:
    """record_many of subjects known by id."""
    if not connection.in_atomic_block:
        raise RuntimeError("an audit row belongs in the transaction of the change it records")
    insert_rows(
        AuditEvent, ["subject_id", "corpus_id"], list(corpora_of(model, ids).items()),
        same={"actor": actor.username if actor else "system", "verb": verb, "data": data or {},
              "subject_type": model._meta.model_name or ""},
    )  # fmt: skip


def history(subject: models.Model) -> models.QuerySet[AuditEvent]:
    """All rows about one object, newest first."""
    return AuditEvent.objects.filter(subject_type=subject._meta.model_name, subject_id=subject.pk)
