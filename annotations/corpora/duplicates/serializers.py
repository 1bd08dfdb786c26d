"""How clusters of near duplicates look to the API."""

from typing import Any

from rest_framework import serializers

from annotations.corpora.models import DuplicateCluster, DuplicateMember, DuplicateVerdict
from annotations.corpora.serializers import proxy_url, thumbnail_url


def _id(**kwargs: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=1, max_value=2**63 - 1, **kwargs)


class DuplicateMemberSerializer(serializers.ModelSerializer[DuplicateMember]):
    """A video in a cluster, with the member it looks most like."""

    name = serializers.CharField(source="video.name")
    corpus = serializers.IntegerField(source="video.corpus_id")
    corpus_name = serializers.CharField(source="video.corpus.name")
    source = serializers.CharField(source="video.source")  # type: ignore[assignment]
    recording = serializers.CharField(source="video.recording")
    recording_origin = serializers.CharField(source="video.recording_origin")
    duration_us = serializers.SerializerMethodField()
    thumbnail_url = serializers.SerializerMethodField()
    proxy_url = serializers.SerializerMethodField()
    nearest = serializers.SerializerMethodField(help_text="the video that it looks most like")
    exact = serializers.SerializerMethodField(help_text="has the same bytes as the nearest")
    similarity = serializers.SerializerMethodField(
        help_text="to the nearest: share of hash bits that agree, 0 to 1; null where no search found it"
    )
    motion = serializers.SerializerMethodField(
        help_text="how alike what moves in both moves, -1 to 1; null where nothing moves"
    )
    shift_us = serializers.SerializerMethodField(
        help_text="what this video shows at t, the nearest shows at t - shift_us"
    )
    overlap_us = serializers.SerializerMethodField(help_text="how long both show the same")
    proposed = serializers.SerializerMethodField(
        help_text="found for a cluster that a person edited, and not confirmed yet"
    )
    added_by = serializers.CharField(
        source="added_by.username", allow_null=True, default=None, help_text="null: found by a search"
    )

    class Meta:
        model = DuplicateMember
        fields = [
            "video", "name", "corpus", "corpus_name", "source", "recording", "recording_origin", "duration_us",
            "thumbnail_url", "proxy_url", "nearest", "exact", "similarity", "motion", "shift_us", "overlap_us",
            "proposed", "added_by", "added_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_duration_us(self, member: DuplicateMember) -> int | None:
        return member.video.media.duration_us if member.video.media else None

    def get_thumbnail_url(self, member: DuplicateMember) -> str | None:
        return thumbnail_url(member.video)

    def get_proxy_url(self, member: DuplicateMember) -> str | None:
        return proxy_url(member.video)

    def get_nearest(self, member: DuplicateMember) -> int | None:
        value: int | None = member.evidence.get("nearest")
        return value

    def get_exact(self, member: DuplicateMember) -> bool:
        return bool(member.evidence.get("exact"))

    def get_similarity(self, member: DuplicateMember) -> float | None:
        value: float | None = member.evidence.get("similarity")
        return value

    def get_motion(self, member: DuplicateMember) -> float | None:
        value: float | None = member.evidence.get("motion")
        return value

    def get_shift_us(self, member: DuplicateMember) -> int | None:
        value: int | None = member.evidence.get("shift_us")
        return value

    def get_overlap_us(self, member: DuplicateMember) -> int | None:
        value: int | None = member.evidence.get("overlap_us")
        return value

    def get_proposed(self, member: DuplicateMember) -> bool:
        return bool(member.evidence.get("proposed"))


class DuplicateVerdictSerializer(serializers.ModelSerializer[DuplicateVerdict]):
    by = serializers.CharField(source="by.username")

    class Meta:
        model = DuplicateVerdict
        fields = ["id", "first", "second", "same", "reason", "at", "by"]
        read_only_fields = fields


class DuplicateClusterSerializer(serializers.ModelSerializer[DuplicateCluster]):
    confirmed_by = serializers.CharField(source="confirmed_by.username", allow_null=True, default=None)
    member_count = serializers.IntegerField()
    proposed_count = serializers.IntegerField(help_text="members that wait to be confirmed or removed")
    preview = DuplicateMemberSerializer(many=True, help_text="the first members; all of them in the detail")

    class Meta:
        model = DuplicateCluster
        fields = [
            "id", "note", "confirmed_at", "confirmed_by", "created_at", "member_count", "proposed_count", "preview",
        ]  # fmt: skip
        read_only_fields = fields


class DuplicateClusterDetailSerializer(serializers.ModelSerializer[DuplicateCluster]):
    confirmed_by = serializers.CharField(source="confirmed_by.username", allow_null=True, default=None)
    member_count = serializers.IntegerField()
    proposed_count = serializers.IntegerField(help_text="members that wait to be confirmed or removed")
    members = DuplicateMemberSerializer(many=True)
    verdicts = DuplicateVerdictSerializer(many=True, help_text="what people said of its members")

    class Meta:
        model = DuplicateCluster
        fields = [
            "id", "note", "confirmed_at", "confirmed_by", "created_at", "member_count", "proposed_count", "members",
            "verdicts",
        ]  # fmt: skip
        read_only_fields = fields


class NewClusterSerializer(serializers.Serializer[None]):
    videos = serializers.ListField(child=_id(), min_length=2, max_length=500)
    reason = serializers.CharField(max_length=300, default="", allow_blank=True)


class ConfirmSerializer(serializers.Serializer[None]):
    note = serializers.CharField(max_length=500, required=False, allow_blank=True)


class OneVideoSerializer(serializers.Serializer[None]):
    video = _id()
    reason = serializers.CharField(max_length=300, default="", allow_blank=True)


class MergeSerializer(serializers.Serializer[None]):
    clusters = serializers.ListField(
        child=_id(), min_length=1, max_length=100, help_text="that become part of this one"
    )
    reason = serializers.CharField(max_length=300, default="", allow_blank=True)


class SearchSerializer(serializers.Serializer[None]):
    corpus = _id(allow_null=True, default=None, help_text="null: all corpora")
