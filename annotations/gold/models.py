"""Cases whose answers are known, what people scored on them, and who may not go on because of it.

Nothing of this is shown to the people who are measured: see docs/gold.md.
"""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from annotations.cases.models import Case
from annotations.corpora.models import Corpus
from annotations.reviews.models import Review, ReviewPlan


class GoldCase(models.Model):
    """An approved case by which people are measured; its approved answers are the key. A new mark is a new row."""

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="gold_marks")
    tolerances = models.JSONField(
        default=dict,
        help_text="by kind, how far an answer may be off and still be right: microseconds for times, 0 to 1 for texts",
    )
    marked_at = models.DateTimeField(auto_now_add=True)
    marked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    unmarked_at = models.DateTimeField(null=True)
    unmarked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    voided = models.BooleanField(default=False, help_text="its key was wrong: its scores count no longer")
    reason = models.CharField(max_length=300, blank=True, help_text="why it was unmarked")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["case"], condition=Q(unmarked_at__isnull=True), name="gold_marked_once"
            ),
            models.CheckConstraint(
                condition=Q(unmarked_at__isnull=True, unmarked_by__isnull=True, voided=False)
                | Q(unmarked_at__isnull=False, unmarked_by__isnull=False),
                name="gold_unmarked_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"gold case {self.case_id}"


class GoldScore(models.Model):
    """How near one person's answers to a gold case came to its key, 0 to 1."""

    gold = models.ForeignKey(GoldCase, on_delete=models.PROTECT, related_name="scores")
    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="gold_score")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="gold_scores")
    score = models.FloatField(
        validators=(MinValueValidator(0.0), MaxValueValidator(1.0)), help_text="the mean over the key's kinds"
    )
    by_kind = models.JSONField(
        help_text="by kind: {score, key, answer}; the last two are ids of answers, or empty"
    )
    counts = models.BooleanField(
        default=True, help_text="false once the review was taken back or the key was found wrong"
    )
    answered_at = models.DateTimeField(help_text="the submission that was scored")
    scored_at = models.DateTimeField()

    class Meta:
        ordering = ["answered_at", "id"]
        indexes = [models.Index(fields=["person", "answered_at", "id"])]

    def __str__(self) -> str:
        return f"{self.score:.2f} of user {self.person_id}"


class Pause(models.Model):
    """Somebody is given nothing new in a corpus until a lead lifts it. Scores before the lift count no more."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="pauses")
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="pauses")
    plan = models.ForeignKey(ReviewPlan, on_delete=models.PROTECT, related_name="pauses")
    mean = models.FloatField(
        null=True, help_text="of the scores it is about; empty when a lead paused the person"
    )
    scores = models.JSONField(default=list, help_text="ids of those scores")
    reason = models.CharField(max_length=300, blank=True)
    paused_at = models.DateTimeField(auto_now_add=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="empty: automatic",
    )
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="empty: automatic",
    )
    lift_reason = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["person", "corpus"],
                condition=Q(lifted_at__isnull=True),
                name="paused_once_per_corpus",
            )
        ]

    def __str__(self) -> str:
        return f"pause of user {self.person_id} in corpus {self.corpus_id}"
