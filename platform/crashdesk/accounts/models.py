"""People and what their role allows."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models


class Role(models.TextChoices):
    """Values are stored in the database: never rename one without a migration."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    LEAD = "lead"
    ENGINEER = "engineer"
    ADMIN = "admin"


class User(AbstractUser):
    """Somebody who signs in. The role decides what they may do (crashdesk.accounts.permissions)."""

    role = models.CharField(max_length=20, choices=Role, default=Role.ANNOTATOR)

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(
                condition=models.Q(role__in=[r.value for r in Role]), name="user_role_known"
            )
        ]


class Membership(models.Model):
    """What one person's role is in one corpus, whatever it is elsewhere (crashdesk.accounts.permissions)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    corpus = models.ForeignKey("corpora.Corpus", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["corpus", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=[r.value for r in Role]), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"user {self.user_id} is {self.role} in corpus {self.corpus_id}"
