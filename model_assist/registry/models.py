"""Model versions: a base checkpoint with its adapters and routing, and which one is in use."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.datasets.models import DatasetVersion


class ModelVersion(models.Model):
    """A base checkpoint, its adapters and which adapter answers which kind. Weights never change under a name."""

    name = models.CharField(max_length=100, unique=True)
    base = models.CharField(max_length=500, help_text="path or hub id of a native video_llama_3 checkpoint")
    adapters = models.JSONField(default=dict, help_text="adapter name to folder")
    routing = models.JSONField(default=dict, help_text="task kind to adapter name; '' is the bare base")
    engine_settings = models.JSONField(default=dict, help_text="frames per second, frame and token budgets")
    weights_hash = models.CharField(
        max_length=64, help_text="SHA-256 over the adapter files and the base's config"
    )
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    trained_on = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, null=True, related_name="models")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    in_use = models.BooleanField(default=False, help_text="the default of the next prediction run")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["in_use"], condition=Q(in_use=True), name="one_model_in_use")
        ]

    def __str__(self) -> str:
        return self.name


class Promotion(models.Model):
    """Who put which model in use, when and why. Rolling back is one more promotion."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="promotions")
    replaced = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, null=True, related_name="replacements"
    )
    reason = models.CharField(max_length=500)
    promoted_at = models.DateTimeField(auto_now_add=True)
    promoted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["-id"]


class Evaluation(models.Model):
    """A model version's metrics on one split of one dataset version."""

    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evaluations")
    dataset_version = models.ForeignKey(DatasetVersion, on_delete=models.PROTECT, related_name="evaluations")
    split = models.CharField(max_length=5)
    metrics = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model_version", "dataset_version", "split"], name="evaluation_once_per_split"
            )
        ]
