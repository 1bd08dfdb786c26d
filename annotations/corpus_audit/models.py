"""Audits of corpora as they were found, the clips behind each finding, and what people said about findings."""

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from annotations.corpora.models import Corpus


class CorpusAudit(models.Model):
    """One audit: what it read (as a hash) and what it found. Written once by `services.audit_corpus`."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="audits")
    inputs_hash = models.CharField(max_length=64, help_text="SHA-256 over everything the audit read")
    code_version = models.CharField(max_length=60, help_text="of the code that computed it")
    report = models.JSONField(help_text="see docs/audit.md")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    job_id = models.BigIntegerField(null=True, help_text="the job that ran it; empty for the command line")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"audit {self.pk} of {self.corpus}"

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused: what was known about a corpus, and when, stays."""
        raise TypeError("an audit is kept")


class FindingClips(models.Model):
    """All clips that a finding speaks of; the report itself shows only the first of them."""

    audit = models.ForeignKey(CorpusAudit, on_delete=models.CASCADE, related_name="clips")
    code = models.CharField(max_length=60)
    subject = models.CharField(max_length=300, blank=True)
    videos = ArrayField(models.BigIntegerField(), help_text="video ids, in the order of their names")

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "finding clips"
        constraints = [
            models.UniqueConstraint(fields=["audit", "code", "subject"], name="clips_once_per_finding")
        ]


class FindingAcknowledgement(models.Model):
    """A person's word that a finding is known and accepted, as large as it was then.

    It speaks for the corpus's finding of that code and subject in every later audit, until it is withdrawn or the
    finding has grown beyond it.
    """

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="acknowledgements")
    code = models.CharField(max_length=60)
    subject = models.CharField(max_length=300, blank=True)
    count = models.PositiveBigIntegerField(help_text="of the finding when it was acknowledged")
    severity = models.CharField(max_length=10, help_text="of the finding when it was acknowledged")
    reason = models.CharField(max_length=500)
    at = models.DateTimeField(auto_now_add=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["corpus", "code", "subject"],
                condition=Q(withdrawn_at__isnull=True),
                name="one_standing_acknowledgement_per_finding",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="acknowledged_with_reason"),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True, withdrawn_by__isnull=True)
                | Q(withdrawn_at__isnull=False, withdrawn_by__isnull=False),
                name="acknowledgement_withdrawn_by_and_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.subject}".strip()
