"""Dataset versions: immutable, content-hashed sets of approved answers with splits, and their exports."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus


class Split(models.TextChoices):
    """Stored in the database and in exports: never rename one without a migration."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class DatasetVersion(models.Model):
    """Written once by `services.freeze`; nothing about it changes afterwards."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="dataset_versions")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT)
    number = models.PositiveIntegerField()
    note = models.CharField(max_length=300, blank=True)
    split_seed = models.PositiveIntegerField()
    val_share = models.FloatField()
    test_share = models.FloatField()
    content_hash = models.CharField(max_length=64, help_text="SHA-256 of the canonical records")
    record_count = models.PositiveIntegerField()
    unseen_count = models.PositiveIntegerField(
        null=True,
        help_text="records that a policy approved, all in train; empty: frozen before they were told apart",
    )
    unseen_left_out = models.PositiveIntegerField(
        null=True,
        help_text="approved by a policy and left out, as their footage is in val or test since before",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "number"], name="dataset_version_number_once")
        ]

    def __str__(self) -> str:
        return f"{self.corpus} v{self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only: a dataset version is never changed."""
        if self.pk is not None:
            raise TypeError("a dataset version is immutable")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused: models and exports name the version they came from."""
        raise TypeError("a dataset version is immutable")


class DatasetRecord(models.Model):
    """One case as it stood when the version was frozen: a copy, so that later work cannot reach it."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="records")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="dataset_records")
    split = models.CharField(max_length=5, choices=Split)
    content = models.JSONField(
        help_text="video name, sha256, source, recording, duration, six answers with lineage"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["version", "case"], name="case_once_per_dataset_version"),
            models.CheckConstraint(
                condition=Q(split__in=[s.value for s in Split]), name="dataset_record_split_known"
            ),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert only: a dataset version's records are never changed."""
        if self.pk is not None:
            raise TypeError("a dataset record is immutable")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refused, like every change."""
        raise TypeError("a dataset record is immutable")


class ExportFormat(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    CRASHCHAT = "crashchat"
    PARQUET = "parquet"


class Export(models.Model):
    """One version written in one format: a zip or Parquet file whose bytes depend on the version alone."""

    version = models.ForeignKey(DatasetVersion, on_delete=models.CASCADE, related_name="exports")
    format = models.CharField(max_length=20, choices=ExportFormat)
    storage_name = models.CharField(max_length=200)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(help_text="bytes")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["version", "format"], name="export_once_per_format")]
