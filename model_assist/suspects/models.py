"""Labels that something speaks against, for a second look."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, Case


class SuspectState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    OPEN = "open", "waits for a second look"
    DISMISSED = "dismissed", "the label is right"
    CONFIRMED = "confirmed", "the label is wrong"
    RETURNED = "returned", "wrong, and sent back to review"
    GONE = "gone", "nothing speaks against it any more, or it no longer counts"


class Suspect(models.Model):
    """A label: the answer of one kind that counts for its case, approved or submitted.

    Scores: model_assist/suspects/scoring.py. What a person has decided stays decided for that answer.
    """

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="suspects")
    answer = models.ForeignKey(Answer, on_delete=models.PROTECT, related_name="suspects")
    kind = models.CharField(max_length=30, choices=Kind)
    approved = models.BooleanField(help_text="it was approved when it was found; else submitted")
    score = models.FloatField(help_text="how likely it is wrong, 0 to 1")
    by_model = models.FloatField(null=True)
    by_people = models.FloatField(null=True)
    by_duplicates = models.FloatField(null=True)
    evidence = models.JSONField(
        default=dict, help_text="who and what says something else: see docs/suspects.md"
    )
    state = models.CharField(max_length=10, choices=SuspectState, default=SuspectState.OPEN)
    found_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(help_text="by the last search that found it")
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-score", "-id"]
        indexes = [models.Index(fields=["state", "-score", "-id"], name="suspect_by_score")]
        constraints = [
            models.UniqueConstraint(fields=["case", "answer"], name="suspect_once_per_answer"),
            models.CheckConstraint(
                condition=Q(state__in=["open", "gone"], decided_at__isnull=True, decided_by__isnull=True)
                | Q(
                    state__in=["dismissed", "confirmed", "returned"],
                    decided_at__isnull=False,
                    decided_by__isnull=False,
                ),
                name="suspect_decided_by_and_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of case {self.case_id}, {self.state}"
