"""Training runs: LoRA fine-tuning of a model version on a dataset version, in a process of its own."""

from django.conf import settings
from django.db import models

from annotations.datasets.models import DatasetVersion
from model_assist.registry.models import ModelVersion


class TrainingRun(models.Model):
    dataset_version = models.ForeignKey(
        DatasetVersion, on_delete=models.PROTECT, related_name="training_runs"
    )
    start_from = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="training_runs")
    params = models.JSONField(default=dict, help_text="hyper-parameters that differ from the defaults")
    job_id = models.BigIntegerField(null=True)
    loss_curve = models.JSONField(default=list, help_text="[{adapter, step, loss}]")
    model_version = models.OneToOneField(
        ModelVersion,
        on_delete=models.PROTECT,
        null=True,
        related_name="training_run",
        help_text="what came out",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"training run {self.pk}"
