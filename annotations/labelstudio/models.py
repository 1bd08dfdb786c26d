"""What CrashDesk knows of its mirror in Label Studio. CrashDesk is the truth; these rows only map ids."""

from django.db import models
from django.db.models import Q

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from annotations.reviews.models import Review


class LabelStudioProject(models.Model):
    """The Label Studio project that shows one corpus under one guideline."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="labelstudio_projects")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT)
    project_id = models.PositiveIntegerField(unique=True)
    title = models.CharField(max_length=50)
    config_hash = models.CharField(max_length=64)
    shown_model_version = models.CharField(max_length=100, blank=True)
    polled_until = models.DateTimeField(
        null=True, help_text="changes in Label Studio up to here have been pulled"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "guideline"], name="labelstudio_project_once")
        ]

    def __str__(self) -> str:
        return self.title


class LabelStudioTask(models.Model):
    """The Label Studio task that shows one case."""

    project = models.ForeignKey(LabelStudioProject, on_delete=models.CASCADE, related_name="tasks")
    case = models.OneToOneField(Case, on_delete=models.PROTECT, related_name="labelstudio_task")
    task_id = models.PositiveIntegerField(null=True, help_text="empty while the push is under way")
    fps_num = models.PositiveBigIntegerField(
        help_text="frame rate of the proxy, numerator: converts frames exactly"
    )
    fps_den = models.PositiveBigIntegerField()
    shown_answers = models.JSONField(
        default=dict, help_text="kind to id of the draft answer the reviewer sees"
    )
    pushed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "task_id"],
                condition=Q(task_id__isnull=False),
                name="labelstudio_task_once",
            )
        ]


class LabelStudioAnnotation(models.Model):
    """The last state of one Label Studio annotation that has been turned into a review."""

    task = models.ForeignKey(LabelStudioTask, on_delete=models.CASCADE, related_name="annotations")
    annotation_id = models.PositiveIntegerField()
    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="labelstudio_annotation")
    content_hash = models.CharField(max_length=64)
    changed_at = models.DateTimeField(help_text="as Label Studio last reported it: a newer time is a new submission")
    seen_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["task", "annotation_id"], name="labelstudio_annotation_once")
        ]
