"""What people did, moment by moment, while they worked on a case. What they typed is never kept."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from annotations.cases.models import Case


class Place(models.TextChoices):
    """Where somebody worked. Stored in the database: never rename one without a migration."""

    CASE = "case", "the case's page"
    LABELSTUDIO = "labelstudio", "Label Studio"


class Activity(models.Model):
    """One batch of moments at which a person did something at a case, at most one a second.

    Moments are microseconds since 1970 by the server's clock. The counts are of what was done since the last batch.
    """

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="activity")
    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="activity")
    batch = models.UUIDField(help_text="made by the browser: a batch sent twice counts once")
    place = models.CharField(max_length=12, choices=Place)
    moments_us = ArrayField(models.BigIntegerField(), help_text="rising")
    first_us = models.BigIntegerField()
    last_us = models.BigIntegerField()
    pointer = models.PositiveIntegerField(default=0, help_text="presses, turns of the wheel and movements")
    keys = models.PositiveIntegerField(default=0, help_text="key presses outside of texts")
    typed = models.PositiveIntegerField(default=0, help_text="key presses that wrote or erased text")
    player = models.PositiveIntegerField(default=0, help_text="plays, pauses, jumps and seconds watched")
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "activity"
        constraints = [
            models.UniqueConstraint(fields=["person", "batch"], name="activity_batch_once"),
            models.CheckConstraint(
                condition=Q(moments_us__len__gt=0, last_us__gte=F("first_us")), name="activity_has_moments"
            ),
        ]
        indexes = [
            models.Index(fields=["person", "first_us"]),
            models.Index(fields=["case", "person"]),
        ]

    def __str__(self) -> str:
        return f"activity of user {self.person_id} at case {self.case_id}"
