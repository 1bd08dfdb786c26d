"""Prediction runs: one model version over a set of cases."""

from django.conf import settings
from django.db import models

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from model_assist.registry.models import ModelVersion


class PredictionRun(models.Model):
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="prediction_runs")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="prediction_runs")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["-id"]

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

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "case"], name="case_once_per_prediction_run")]
