"""The append-only log of who did what, when. No foreign keys: the log outlives what it speaks of.

Triggers of the database refuse whatever would change or remove a row (migration 0003); save() and delete() say it too.
"""

from typing import Any

from django.db import models
from django.utils import timezone


class AuditEvent(models.Model):
    at = models.DateTimeField(default=timezone.now, db_index=True)
    actor = models.CharField(max_length=150, help_text="user name, or 'system'")
    verb = models.CharField(max_length=60)
    subject_type = models.CharField(max_length=60)
    subject_id = models.BigIntegerField()
    corpus_id = models.BigIntegerField(
        null=True, help_text="of the corpus that the subject belongs to; null for the site's own rows"
    )
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "id"]),
            models.Index(fields=["corpus_id", "-id"], name="audit_by_corpus"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.verb} {self.subject_type} {self.subject_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only: an audit row is never changed."""
        if self.pk is not None:
            raise TypeError("audit rows are append-only")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused: an audit row is never removed."""
        raise TypeError("audit rows are append-only")
