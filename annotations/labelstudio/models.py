"""What CrashDesk knows of its mirror in Label Studio. CrashDesk is the truth; these rows only map ids."""

from fractions import Fraction
from typing import Any

from django.conf import settings
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Count, Q, Value
from django.db.models.functions import Cast

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.external_ids import opaque_key
from annotations.reviews.models import Assignment, Review
from crashdesk.api.errors import Problem


class LabelStudioProjectQuerySet(models.QuerySet["LabelStudioProject"]):
    def linked(self) -> "LabelStudioProjectQuerySet":
        """Projects that exist in Label Studio as far as we know."""
        return self.filter(project_id__isnull=False)

    def with_task_counts(self) -> "LabelStudioProjectQuerySet":
        """Adds `task_count`: cases that have their task in Label Studio."""
        return self.annotate(task_count=Count("tasks", filter=Q(tasks__task_id__isnull=False)))


class LabelStudioForm(models.Model):
    """One version of the labelling form of a corpus under a guideline. Never changed: a change is a new version."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="labelstudio_forms")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT, related_name="labelstudio_forms")
    version = models.PositiveIntegerField()
    xml = models.TextField(help_text="as Label Studio gets it")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the XML")
    wording = models.JSONField(default=dict, help_text="what is said otherwise than by default")
    suggestions = models.JSONField(default=dict, help_text="text field to sentences offered, by frequency")
    names = models.JSONField(
        default=dict, help_text="labels and choices that may stand in a result, to what they mean"
    )
    instructions = models.TextField(blank=True, help_text="shown before labelling")
    made_at = models.DateTimeField(auto_now_add=True)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["corpus", "guideline", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["corpus", "guideline", "version"], name="labelstudio_form_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"form {self.version} of corpus {self.corpus_id}"


class LabelStudioToken(models.Model):
    """CrashDesk's personal access token at one Label Studio, made by signing in once. As secret as a password."""

    url = models.CharField(max_length=300)
    email = models.CharField(max_length=254)
    token = models.TextField(blank=True)
    made_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["url", "email"], name="labelstudio_token_once")]

    def __str__(self) -> str:
        return f"token of {self.email} at {self.url}"


class LabelStudioProject(models.Model):
    """A Label Studio project that shows one corpus, or a part of it, under one guideline."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="labelstudio_projects")
    guideline = models.ForeignKey(Guideline, on_delete=models.PROTECT)
    part = models.PositiveIntegerField(
        default=1,
        db_default=1,
        help_text="Label Studio slows down with size, so that a corpus may need several projects",
    )
    project_id = models.PositiveIntegerField(
        unique=True, null=True, help_text="empty: gone from Label Studio, made again by the next push"
    )
    title = models.CharField(max_length=50)
    config_hash = models.CharField(max_length=64, blank=True)
    form = models.ForeignKey(
        LabelStudioForm,
        on_delete=models.PROTECT,
        null=True,
        related_name="projects",
        help_text="what it shows",
    )
    shown_model_version = models.CharField(max_length=100, blank=True)
    polled_until = models.DateTimeField(
        null=True, help_text="changes in Label Studio up to here have been pulled"
    )
    check_due = models.BooleanField(
        default=False,
        db_default=False,
        help_text="something happened after which polling alone is not enough",
    )
    checked_at = models.DateTimeField(null=True, help_text="when it was last reconciled")
    check_report = models.JSONField(
        default=dict, db_default={}, help_text="what that found: annotations/labelstudio/discrepancies.py"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = LabelStudioProjectQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "guideline", "part"], name="labelstudio_part_once")
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def linked_id(self) -> int:
        """The project's id in Label Studio. Raises Problem when it is gone from there."""
        if self.project_id is None:
            raise Problem("labelstudio_project_lost", f"{self.title} is gone from Label Studio; push again.")
        return self.project_id

    @property
    def url(self) -> str | None:
        """Where a browser opens the project."""
        return (
            f"{settings.LABELSTUDIO_PUBLIC_URL}/projects/{self.project_id}/data" if self.project_id else None
        )


class LabelStudioTask(models.Model):
    """A Label Studio task that shows one case.

    The task without an assignment is the case's own. Whoever must see nothing of it (a second blind annotator, a
    gold case) gets a task for their assignment alone.
    """

    project = models.ForeignKey(LabelStudioProject, on_delete=models.CASCADE, related_name="tasks")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="labelstudio_tasks")
    assignment = models.OneToOneField(
        Assignment, on_delete=models.PROTECT, null=True, related_name="labelstudio_task"
    )
    external_id = models.CharField(
        max_length=48,
        default="",
        db_default=Cast(RandomUUID(), models.CharField(max_length=48)),
        help_text="its key in Label Studio (`data.external_id`), whatever number it gets there; opaque",
    )
    task_id = models.PositiveIntegerField(null=True, help_text="empty while the push is under way")
    sent_at = models.DateTimeField(
        null=True, help_text="a push claimed it and may have sent it; without a task id nobody knows yet"
    )
    form = models.ForeignKey(
        LabelStudioForm, on_delete=models.PROTECT, null=True, help_text="the version its draft was sent under"
    )
    versions = models.JSONField(
        default=list,
        db_default=Value([], models.JSONField()),
        help_text="model versions of its predictions there, the shown one last",
    )
    data_digest = models.CharField(
        max_length=64, blank=True, db_default="", help_text="SHA-256 of its `data` as last sent"
    )
    media_until = models.DateTimeField(null=True, help_text="when the address of its video expires")
    fps_num = models.PositiveBigIntegerField(
        help_text="frame rate of the proxy, numerator: converts frames exactly"
    )
    fps_den = models.PositiveBigIntegerField()
    shown_answers = models.JSONField(
        default=dict, help_text="kind to id of the draft answer the reviewer sees"
    )
    shown_rank = models.PositiveIntegerField(
        null=True, help_text="review rank that Label Studio orders it by"
    )
    pushed_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(
        null=True, help_text="when Label Studio last would not take its data; empty: it has taken it since"
    )
    distrusted_until = models.DateTimeField(
        null=True,
        help_text="annotations saved up to then are not taken: the task or its form was not as we made it",
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "task_id"],
                condition=Q(task_id__isnull=False),
                name="labelstudio_task_once",
            ),
            models.UniqueConstraint(
                fields=["case"], condition=Q(assignment__isnull=True), name="labelstudio_task_of_case_once"
            ),
            models.UniqueConstraint(fields=["external_id"], name="labelstudio_external_id_once"),
        ]

    def __str__(self) -> str:
        return f"task {self.task_id} of case {self.case_id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A row that has no key yet gets its own."""
        self.external_id = self.external_id or opaque_key(*self.key)
        super().save(*args, **kwargs)

    @property
    def key(self) -> tuple[int, int | None]:
        """Case id and, for a task that is somebody's own, assignment id."""
        return self.case_id, self.assignment_id

    @property
    def fps(self) -> Fraction:
        """Frames per second that the task was given, exact."""
        return Fraction(self.fps_num, self.fps_den)


class LabelStudioAnnotation(models.Model):
    """The last state of one Label Studio annotation that has been turned into a review."""

    task = models.ForeignKey(LabelStudioTask, on_delete=models.CASCADE, related_name="annotations")
    annotation_id = models.PositiveIntegerField()
    review = models.OneToOneField(Review, on_delete=models.PROTECT, related_name="labelstudio_annotation")
    content_hash = models.CharField(max_length=64)
    result = models.JSONField(
        null=True, help_text="its regions as they were taken in: our own copy, should Label Studio lose them"
    )
    changed_at = models.DateTimeField(
        help_text="as Label Studio last reported it: a newer time is a new submission"
    )
    form = models.ForeignKey(
        LabelStudioForm, on_delete=models.PROTECT, null=True, help_text="the version it was made under"
    )
    seen_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["task", "annotation_id"], name="labelstudio_annotation_once")
        ]

    def __str__(self) -> str:
        return f"annotation {self.annotation_id} of {self.task}"
