"""How guidelines and cases look to the API."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, cast

from rest_framework import serializers

from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, Guideline, Prompt
from annotations.cases.rules import RuleFinding, check
from annotations.cases.services import drafts, said_by
from annotations.cases.sight import CLEAR, Sight, sees_order, sight_of
from annotations.corpora.models import Video
from annotations.corpora.serializers import MediaSerializer, VideoFindingSerializer, proxy_url, thumbnail_url
from crashdesk.accounts.models import User
from crashdesk.audit.models import AuditEvent
from crashdesk.audit.services import history

SHOWN_EVENTS = 200


class PromptSerializer(serializers.ModelSerializer[Prompt]):
    class Meta:
        model = Prompt
        fields = ["kind", "text", "version"]
        read_only_fields = fields


class GuidelineSerializer(serializers.ModelSerializer[Guideline]):
    prompts = PromptSerializer(many=True)

    class Meta:
        model = Guideline
        fields = ["id", "name", "version", "text", "created_at", "prompts"]
        read_only_fields = fields


class CaseVideoSerializer(serializers.ModelSerializer[Video]):
    duration_us = serializers.IntegerField(source="media.duration_us", allow_null=True, default=None)
    thumbnail_url = serializers.SerializerMethodField()

    class Meta:
        model = Video
        fields = ["id", "name", "source", "recording", "duration_us", "thumbnail_url"]
        read_only_fields = fields

    def get_thumbnail_url(self, video: Video) -> str | None:
        return thumbnail_url(video)


class CaseSerializer(serializers.ModelSerializer[Case]):
    video = CaseVideoSerializer()
    review_rank = serializers.IntegerField(
        read_only=True,
        allow_null=True,
        help_text="order for reviewers; null for whoever neither assigns, approves nor selects",
    )

    class Meta:
        model = Case
        fields = [
            "id", "corpus", "guideline", "video", "status", "status_changed_at", "lacks_media", "excluded_reason",
            "returned_reason", "review_rank", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, case: Case) -> dict[str, Any]:
        """Whoever must not know how the case stands is shown something else (annotations.cases.sight)."""
        sight = self._sight()
        if sight is not None and case.pk in sight.masked():
            case = sight.of(case).over(case)
        shown: dict[str, Any] = super().to_representation(case)
        if sight is not None and not sees_order(sight.person, case.corpus_id):
            shown["review_rank"] = None
        return shown

    def _sight(self) -> Sight | None:
        """The view of whoever asks, made once for a whole list."""
        request = self.context.get("request")
        if request is None or not isinstance(request.user, User):
            return None
        context = cast(dict[str, Any], self.context)
        held: Sight = context.setdefault("sight", None) or sight_of(request.user)
        context["sight"] = held
        return held


class CaseVideoDetailSerializer(CaseVideoSerializer):
    media = MediaSerializer(allow_null=True)
    proxy_url = serializers.SerializerMethodField()
    findings = VideoFindingSerializer(many=True)

    class Meta(CaseVideoSerializer.Meta):
        fields = [*CaseVideoSerializer.Meta.fields, "media", "proxy_url", "metadata", "findings"]
        read_only_fields = fields

    def get_proxy_url(self, video: Video) -> str | None:
        return proxy_url(video)


class AnswerSerializer(serializers.ModelSerializer[Answer]):
    author = serializers.CharField(source="author.username", allow_null=True, default=None)

    class Meta:
        model = Answer
        fields = [
            "id", "kind", "state", "value", "reason", "created_at", "author_kind", "author", "origin", "draft",
            "raw_text", "confidence", "confidence_detail", "model_version", "adapter", "prompt_version", "frames",
        ]  # fmt: skip
        read_only_fields = fields


class ApprovedAnswerSerializer(serializers.ModelSerializer[ApprovedAnswer]):
    approved_by = serializers.CharField(source="approved_by.username", allow_null=True, default=None)

    class Meta:
        model = ApprovedAnswer
        fields = ["kind", "answer", "approved_at", "approved_by", "policy"]
        read_only_fields = fields


class RuleFindingSerializer(serializers.Serializer[RuleFinding]):
    code = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    message = serializers.CharField()
    blocks = serializers.BooleanField(help_text="whether it prevents approval")


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ["at", "actor", "verb", "data"]
        read_only_fields = fields


class CaseStateSerializer(CaseSerializer):
    """Everything known of a case. Expects `answers` and `approved` prefetched."""

    video = CaseVideoDetailSerializer()
    guideline = GuidelineSerializer()
    answers = AnswerSerializer(many=True, help_text="all, oldest first")
    approved = ApprovedAnswerSerializer(many=True)
    drafts = serializers.SerializerMethodField(help_text="answer ids by kind that a reviewer starts from")
    current = serializers.SerializerMethodField(
        help_text="answer ids by kind: the approved one, else a person's newest, else the draft"
    )
    findings = serializers.SerializerMethodField(help_text="rules that the current answers break")
    history = serializers.SerializerMethodField(help_text=f"the newest {SHOWN_EVENTS} events")

    class Meta(CaseSerializer.Meta):
        fields = [
            *CaseSerializer.Meta.fields, "answers", "approved", "drafts", "current", "findings", "history",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, case: Case) -> dict[str, Any]:
        sight = self._sight()
        veil = self._veil = CLEAR if sight is None else sight.of(case)
        data = super().to_representation(case)
        if sight is None or not veil.hides_answers:
            return data
        answers = veil.answers(case.answers.all(), sight.person)
        ids = {answer.pk for answer in answers}
        data["answers"] = [answer for answer in data["answers"] if answer["id"] in ids]
        data["drafts"] = {kind: pk for kind, pk in data["drafts"].items() if pk in ids}
        own = {answer.kind: answer.pk for answer in answers if answer.author_kind == AuthorKind.PERSON}
        data["current"] = data["drafts"] | own
        data["findings"] = []
        if not veil.others:
            data["approved"] = []
        return data

    def get_drafts(self, case: Case) -> dict[str, int]:
        return {kind: answer.pk for kind, answer in drafts(case).items()}

    def get_current(self, case: Case) -> dict[str, int]:
        return {kind: answer.pk for kind, answer in _current(case).items()}

    def get_findings(self, case: Case) -> list[dict[str, Any]]:
        duration_us = case.video.media.duration_us if case.video.media else None
        findings = check(said_by(_current(case).values()), duration_us=duration_us)
        return list(RuleFindingSerializer(cast(Any, findings), many=True).data)

    def get_history(self, case: Case) -> list[dict[str, Any]]:
        sight = self._sight()
        events = history(case)[: 2 * SHOWN_EVENTS]
        told = events if sight is None else self._veil.events(events, sight.person)
        return list(AuditEventSerializer(cast(Any, list(islice(told, SHOWN_EVENTS))), many=True).data)


def _current(case: Case) -> dict[str, Answer]:
    """What counts for each kind as things stand."""
    answers: Iterable[Answer] = case.answers.all()
    by_id = {answer.pk: answer for answer in answers}
    measured = set(Answer.objects.filter(case=case, reviews__purpose="gold").values_list("pk", flat=True))
    people = [one for one in answers if one.author_kind == AuthorKind.PERSON and one.pk not in measured]
    return {
        **drafts(case),
        **{answer.kind: answer for answer in people},
        **{approved.kind: by_id[approved.answer_id] for approved in case.approved.all()},
    }
