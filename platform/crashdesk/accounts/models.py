"""People and what their role allows."""

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
