"""One person's pass over one case."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.cases.models import Answer, Case


class ReviewOutcome(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    OPEN = "open"
    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"


class Review(models.Model):
    """Somebody looked at a case and submitted, skipped or later withdrew what they said."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reviews")
    outcome = models.CharField(max_length=10, choices=ReviewOutcome, default=ReviewOutcome.OPEN)
    origin = models.CharField(max_length=120, unique=True, help_text="e.g. labelstudio:annotation:17")
    lead_seconds = models.FloatField(null=True, help_text="as the review tool reports it, idle time included")
    answers = models.ManyToManyField(Answer, related_name="reviews")
    problems = models.JSONField(
        default=list,
        help_text="what was submitted but could not be read: [{code, kind, message}]; blocks approval",
    )
    opened_at = models.DateTimeField(auto_now_add=True)
    submitted_at = models.DateTimeField(null=True)
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(outcome="submitted") | Q(submitted_at__isnull=False),
                name="submitted_review_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(outcome="withdrawn") | Q(withdrawn_at__isnull=False),
                name="withdrawn_review_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return f"review {self.pk} of case {self.case_id}"
