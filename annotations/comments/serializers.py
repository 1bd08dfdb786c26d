"""Comments and the inbox as JSON. Times of the clip are integer microseconds."""

from rest_framework import serializers

from annotations.cases.models import Case
from annotations.comments.models import Comment, Notice, Wording
from annotations.comments.services import LONGEST, strangers
from annotations.corpora.access import OpenField
from crashdesk.accounts.permissions import Action

MOST_US = 2**62


class WordingSerializer(serializers.ModelSerializer[Wording]):
    class Meta:
        model = Wording
        fields = ["text", "replaced_at"]
        read_only_fields = fields


class CommentSerializer(serializers.ModelSerializer[Comment]):
    author = serializers.CharField(source="author.username")
    resolved_by = serializers.CharField(source="resolved_by.username", default=None, allow_null=True)
    wordings = WordingSerializer(many=True, help_text="what it said before, oldest first")

    class Meta:
        model = Comment
        fields = [
            "id", "case", "thread", "author", "text", "at_us", "created_at", "edited_at", "resolved_at", "resolved_by",
            "wordings",
        ]  # fmt: skip
        read_only_fields = fields


class WrittenCommentSerializer(CommentSerializer):
    strangers = serializers.SerializerMethodField(
        help_text="names after @ that are nobody's here: nobody was told"
    )

    class Meta(CommentSerializer.Meta):
        fields = [*CommentSerializer.Meta.fields, "strangers"]
        read_only_fields = fields

    def get_strangers(self, comment: Comment) -> list[str]:
        return strangers(comment)


class TextSerializer(serializers.Serializer[None]):
    text = serializers.CharField(max_length=LONGEST, help_text="plain text; @name tells that person")


class NewCommentSerializer(TextSerializer):
    case = OpenField(queryset=Case.objects.all(), action=Action.VIEW, path="corpus_id")
    at_us = serializers.IntegerField(
        min_value=0, max_value=MOST_US, required=False, allow_null=True, default=None,
        help_text="the moment of the clip it speaks of, in microseconds",
    )  # fmt: skip


class ReturnSerializer(TextSerializer):
    at_us = serializers.IntegerField(
        min_value=0, max_value=MOST_US, required=False, allow_null=True, default=None,
        help_text="the moment of the clip that has to change, in microseconds",
    )  # fmt: skip


class NoticeSerializer(serializers.ModelSerializer[Notice]):
    comment = CommentSerializer()
    clip = serializers.CharField(source="comment.case.video.name")

    class Meta:
        model = Notice
        fields = ["id", "why", "comment", "clip", "created_at", "read_at"]
        read_only_fields = fields


class ReadSerializer(serializers.Serializer[None]):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), max_length=500, required=False,
        allow_null=True, default=None, help_text="lines of the inbox; without: all of them",
    )  # fmt: skip
    read = serializers.BooleanField(default=True)


class ChangedSerializer(serializers.Serializer[None]):
    changed = serializers.IntegerField()
    unread = serializers.IntegerField(help_text="lines of the inbox that are left unread")
