"""Prediction runs: one model version over a set of cases."""

from django.conf import settings
from django.db import models
from django.db.models import Q, Value

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from model_assist.registry.models import ModelVersion


class Priority(models.TextChoices):
    """Who waits for a run. Stored in the database: never rename one without a migration."""

    PERSON = "person", "a person is waiting"
    NORMAL = "normal", "normal"
    BATCH = "batch", "whenever nothing else waits"

    @property
    def of_jobs(self) -> int:
        """Job.priority: the lower number runs first, and other work of the GPU has 0."""
        return {"person": -10, "normal": 0, "batch": 10}[self.value]


def all_kinds() -> list[str]:
    """The six kinds, in the order in which people are shown them."""
    return [str(kind) for kind in Kind.values]


class PredictionRun(models.Model):
    """A model version asked `kinds` about the cases that `filters` chose when it was started."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="prediction_runs")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="prediction_runs")
    kinds = models.JSONField(
        default=all_kinds,
        db_default=Value(all_kinds(), output_field=models.JSONField()),
        help_text="the kinds that are asked, recognition included where localisation depends on it",
    )
    priority = models.CharField(
        max_length=10, choices=Priority, default=Priority.NORMAL, db_default=Priority.NORMAL
    )
    filters = models.JSONField(
        default=dict,
        db_default=Value({}, output_field=models.JSONField()),
        help_text="how its cases were chosen, as it was asked for",
    )
    tally = models.JSONField(
        default=dict,
        db_default=Value({}, output_field=models.JSONField()),
        help_text="how many cases were matched, taken, answered already and left out when it was started",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    paused_at = models.DateTimeField(null=True, help_text="held since then; empty while it may run")
    cancelled_at = models.DateTimeField(null=True, help_text="stopped then; empty again once it goes on")
    active_since = models.DateTimeField(
        null=True, help_text="when it was started, resumed or taken up again last"
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(priority__in=[p.value for p in Priority]), name="prediction_run_priority_known"
            )
        ]

    def __str__(self) -> str:
        return f"prediction run {self.pk}"

    @property
    def group(self) -> str:
        """The job group that holds one job per case."""
        return f"prediction_run:{self.pk}"


class CasePrediction(models.Model):
    """One case of a run. Its job carries the state, attempts and error."""

    run = models.ForeignKey(PredictionRun, on_delete=models.CASCADE, related_name="case_predictions")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="predictions")
    predicted_at = models.DateTimeField(null=True)
    seconds = models.FloatField(null=True, help_text="time the engine took")
    device = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="what the model ran on, if it was told",
    )

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "case"], name="case_once_per_prediction_run")]
        indexes = [models.Index(fields=["run", "predicted_at"], name="case_prediction_by_time")]
