"""A job is one piece of long work. PostgreSQL owns its state; Celery messages only wake workers."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from crashdesk.accounts.models import User


class JobState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    QUEUED = "queued"
    PAUSED = "paused"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(models.Model):
    kind = models.CharField(max_length=40)
    queue = models.CharField(max_length=20)
    args = models.JSONField(default=dict)
    group = models.CharField(
        max_length=80, blank=True, help_text="what the job is part of, e.g. prediction_run:12"
    )
    corpus_id = models.BigIntegerField(
        null=True, help_text="the corpus it works for: who may see it; null for the site's own work"
    )
    priority = models.SmallIntegerField(default=0, help_text="lower runs first")
    state = models.CharField(max_length=12, choices=JobState, default=JobState.QUEUED)

    token = models.UUIDField(
        null=True, help_text="who holds the claim; a worker with an older token is fenced off"
    )
    lease_until = models.DateTimeField(null=True)
    worker = models.CharField(
        max_length=100, blank=True, default="", db_default="",
        help_text="machine:process that holds the job, or held it last",
    )  # fmt: skip
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, help_text="a retry waits until then")
    woken_at = models.DateTimeField(null=True, help_text="when a worker was last told of this job")
    cancel_requested = models.BooleanField(default=False)

    progress_done = models.PositiveBigIntegerField(default=0)
    progress_total = models.PositiveBigIntegerField(null=True)
    message = models.CharField(max_length=300, blank=True)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)

    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    restarted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+",
        help_text="who last had it done once more after it had failed or was cancelled",
    )  # fmt: skip
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(F("queue"), F("priority"), F("id"), name="job_waiting", condition=Q(state="queued")),
            models.Index(fields=["lease_until"], name="job_leased", condition=Q(state="running")),
            models.Index(fields=["group", "state"]),
            models.Index(fields=["kind", "-id"], name="job_by_kind"),
            models.Index(fields=["state", "-id"], name="job_by_state"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in JobState]), name="job_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="running", token__isnull=False, lease_until__isnull=False)
                | (~Q(state="running") & Q(token__isnull=True, lease_until__isnull=True)),
                name="job_claimed_only_while_running",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk} ({self.state})"

    @property
    def asked_by(self) -> User | None:
        """Who answers for what it does from now on: whoever restarted it last, else whoever asked for it."""
        return self.restarted_by or self.created_by


class HeldGroup(models.Model):
    """Somebody paused this group: whichever of its jobs comes to wait, waits as paused until it is resumed."""

    group = models.CharField(max_length=80, unique=True)
    since = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.group
