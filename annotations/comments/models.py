"""What people say to each other about a case, and what they have not read yet. Times are integer microseconds."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.cases.models import Case


class Comment(models.Model):
    """A remark on a case or on a moment of its clip, or a reply to one. Earlier wordings are kept, nothing is deleted.

    A reply has its remark as `thread` and neither a moment nor an end of its own: threads are one level deep.
    """

    case = models.ForeignKey(Case, on_delete=models.PROTECT, related_name="comments")
    thread = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="replies")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField()
    at_us = models.BigIntegerField(
        null=True, help_text="the moment of the clip it speaks of; empty: the whole case"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    edited_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(resolved_at__isnull=True, resolved_by__isnull=True)
                | Q(resolved_at__isnull=False, resolved_by__isnull=False),
                name="comment_resolved_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(thread__isnull=True) | Q(resolved_at__isnull=True, at_us__isnull=True),
                name="reply_has_no_end_of_its_own",
            ),
            models.CheckConstraint(
                condition=Q(at_us__isnull=True) | Q(at_us__gte=0), name="comment_moment_not_negative"
            ),
        ]
        indexes = [models.Index(fields=["case", "id"])]

    def __str__(self) -> str:
        return f"comment {self.pk} on case {self.case_id}"


class Wording(models.Model):
    """What a comment said before it was edited."""

    comment = models.ForeignKey(Comment, on_delete=models.CASCADE, related_name="wordings")
    text = models.TextField()
    replaced_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"wording {self.pk} of comment {self.comment_id}"


class Why(models.TextChoices):
    """Why somebody is told. Stored in the database: never rename one without a migration."""

    MENTION = "mention", "mentioned you"
    REPLY = "reply", "replied"
    RETURN = "return", "returned your case"


class Notice(models.Model):
    """A comment that somebody should read: a line of their inbox."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notices")
    comment = models.ForeignKey(Comment, on_delete=models.PROTECT, related_name="notices")
    why = models.CharField(max_length=10, choices=Why)
    created_at = models.DateTimeField(auto_now_add=True)
    read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["person", "comment"], name="notice_once")]
        indexes = [
            models.Index(fields=["person", "id"]),
            models.Index("person", condition=Q(read_at__isnull=True), name="notice_unread"),
        ]

    def __str__(self) -> str:
        return f"notice {self.pk} for user {self.person_id}"
