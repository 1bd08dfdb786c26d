"""Who of CrashDesk's people is whom in Label Studio, and which browsers are signed in there for them.

An app of its own so that signing in does not depend on what is pushed and pulled.
"""

from django.conf import settings
from django.db import models
from django.db.models import Q


class Member(models.Model):
    """A person's account in Label Studio. Its password is derived when it is needed and kept nowhere.

    A generation is used up when the account can no longer be used: removed because the person left, or its password
    changed there. The next one is a new account; what was said under the old one stays theirs.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="labelstudio_members"
    )
    generation = models.PositiveSmallIntegerField(default=1)
    labelstudio_id = models.PositiveIntegerField(
        unique=True, null=True, help_text="empty until the account is known to exist"
    )
    address = models.EmailField(
        unique=True, help_text="what Label Studio knows it by; nobody gets mail there"
    )
    shown_name = models.CharField(max_length=200, blank=True, help_text="the name Label Studio shows")
    created_at = models.DateTimeField(auto_now_add=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["user", "generation"], name="labelstudio_member_generation_once"),
            models.UniqueConstraint(
                fields=["user"],
                condition=Q(removed_at__isnull=True),
                name="labelstudio_member_one_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return self.address


class BrowserSession(models.Model):
    """One browser signed in to Label Studio for a person, by its session in CrashDesk, and ending with it.

    Label Studio keeps its sessions in signed cookies, which change with every answer and cannot be revoked there:
    `uid` is the part that stays, and the guard lets nothing through whose row has ended.
    """

    member = models.ForeignKey(Member, on_delete=models.CASCADE, related_name="sessions")
    desk_session = models.CharField(max_length=40, db_index=True, help_text="key of CrashDesk's own session")
    uid = models.CharField(max_length=64, unique=True)
    session_cookie = models.TextField(help_text="as secret as CrashDesk's own session keys")
    csrf_cookie = models.CharField(max_length=200)
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"browser of {self.member}"
