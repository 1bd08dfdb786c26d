"""Calibrations: what a model version's confidence has turned out to be worth, per kind."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.cases.kinds import Kind
from model_assist.calibration.mapping import ISOTONIC, LOGISTIC
from model_assist.registry.models import ModelVersion


class Method(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    LOGISTIC = LOGISTIC
    ISOTONIC = ISOTONIC


class Evidence(models.TextChoices):
    """Which reviewed answers were used. Stored in the database: never rename one without a migration."""

    ALL = "all"
    BLIND = "blind"


class Calibration(models.Model):
    """One fit. The newest of a model version and kind counts; earlier ones stay as they were."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="calibrations")
    kind = models.CharField(max_length=30, choices=Kind)
    method = models.CharField(max_length=10, choices=Method)
    parameters = models.JSONField(help_text="see model_assist/calibration/mapping.py")
    evidence = models.CharField(max_length=5, choices=Evidence)
    pairs = models.PositiveIntegerField(help_text="reviewed answers that it was fitted on")
    right = models.PositiveIntegerField(help_text="of these were right")
    recordings = models.PositiveIntegerField(help_text="that the answers come from")
    rule = models.CharField(max_length=200, help_text="what made an answer right")
    standing = models.JSONField(
        help_text="reviewed answers by what the reviewer had in view: anchored, other, blind"
    )
    left_out = models.JSONField(help_text="reviewed answers that could not be used, by reason")
    rouge_l = models.FloatField(
        null=True, help_text="mean ROUGE-L against the approved texts; empty for others"
    )
    before = models.JSONField(help_text="ece, chance_ece, brier, log_loss and bins of the raw confidence")
    after = models.JSONField(help_text="the same of the calibrated one, on answers it was not fitted on")
    folds = models.PositiveSmallIntegerField(help_text="of the cross-validation, recordings kept whole")
    seed = models.PositiveIntegerField()
    answers_hash = models.CharField(max_length=64, help_text="SHA-256 over the answers' ids, see evidence.py")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    job_id = models.BigIntegerField(null=True, help_text="the job that fitted it; empty for the command line")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["model_version", "kind", "-id"], name="calibration_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["job_id", "kind"], condition=Q(job_id__isnull=False), name="calibration_once_per_job"
            )
        ]

    def __str__(self) -> str:
        return f"calibration {self.pk} of {self.model_version}, {self.kind}"

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused: what a confidence was once shown as can be looked up."""
        raise TypeError("a calibration is kept")
