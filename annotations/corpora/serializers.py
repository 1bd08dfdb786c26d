"""How corpora, videos and imports look to the API."""

from typing import Any

from rest_framework import serializers
from rest_framework.reverse import reverse

from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.models import (
    Corpus,
    ImportRejection,
    ImportRun,
    Media,
    Video,
    VideoFinding,
)

SHOWN_REJECTIONS = 200


def proxy_url(video: Video) -> str | None:
    """Where a browser plays the clip, or None while it cannot."""
    return reverse("video-proxy", [video.pk]) if video.media and video.media.proxy_name else None


def thumbnail_url(video: Video) -> str | None:
    """Where the clip's picture is, or None while there is none."""
    return reverse("video-thumbnail", [video.pk]) if video.media and video.media.thumbnail_name else None


def storyboard_url(video: Video) -> str | None:
    """Where the clip's sprite of small pictures is, or None while there is none."""
    return reverse("video-storyboard", [video.pk]) if video.media and video.media.storyboard_name else None


class CorpusSerializer(serializers.ModelSerializer[Corpus]):
    video_count = serializers.IntegerField()

    class Meta:
        model = Corpus
        fields = ["id", "name", "licence", "terms", "created_at", "video_count"]
        read_only_fields = fields


class CorpusDetailSerializer(CorpusSerializer):
    case_counts = serializers.DictField(child=serializers.IntegerField(), help_text="cases by status")
    media_counts = serializers.DictField(
        child=serializers.IntegerField(), help_text="videos by state of their media; 'absent' has none"
    )
    sources = serializers.DictField(child=serializers.IntegerField(), help_text="videos by source")

    class Meta(CorpusSerializer.Meta):
        fields = [*CorpusSerializer.Meta.fields, "case_counts", "media_counts", "sources"]
        read_only_fields = fields


class NewCorpusSerializer(serializers.Serializer[None]):
    name = serializers.CharField(max_length=100)
    licence = serializers.CharField(max_length=200, default="", allow_blank=True)
    terms = serializers.CharField(default="", allow_blank=True)


class FractionSerializer(serializers.Serializer[Any]):
    """An exact frame rate, frames per second."""

    num = serializers.IntegerField()
    den = serializers.IntegerField()


class MediaSerializer(serializers.ModelSerializer[Media]):
    fps = serializers.SerializerMethodField(help_text="average frames per second of the clip")
    proxy_fps = serializers.SerializerMethodField(help_text="frames per second of the proxy, constant")

    class Meta:
        model = Media
        fields = [
            "sha256", "size", "state", "container", "codec", "width", "height", "rotation", "has_audio",
            "variable_rate", "fps", "frame_count", "duration_us", "start_us", "proxy_fps", "proxy_frame_count",
        ]  # fmt: skip
        read_only_fields = fields

    def get_fps(self, media: Media) -> dict[str, int] | None:
        return _fraction(media.fps_num, media.fps_den)

    def get_proxy_fps(self, media: Media) -> dict[str, int] | None:
        return _fraction(media.proxy_fps_num, media.proxy_fps_den)


def _fraction(num: int | None, den: int | None) -> dict[str, int] | None:
    return None if num is None or den is None else {"num": num, "den": den}


class VideoFindingSerializer(serializers.ModelSerializer[VideoFinding]):
    class Meta:
        model = VideoFinding
        fields = ["code", "subject", "severity", "message", "data", "found_at"]
        read_only_fields = fields


class VideoSerializer(serializers.ModelSerializer[Video]):
    media = MediaSerializer(allow_null=True)
    finding_count = serializers.IntegerField()
    proxy_url = serializers.SerializerMethodField()
    thumbnail_url = serializers.SerializerMethodField()
    storyboard_url = serializers.SerializerMethodField()
    storyboard_vtt_url = serializers.SerializerMethodField()

    class Meta:
        model = Video
        fields = [
            "id", "corpus", "name", "source", "recording", "recording_origin", "split", "url", "created_at",
            "media", "finding_count", "proxy_url",
            "thumbnail_url", "storyboard_url", "storyboard_vtt_url",
        ]  # fmt: skip
        read_only_fields = fields

    def get_proxy_url(self, video: Video) -> str | None:
        return proxy_url(video)

    def get_thumbnail_url(self, video: Video) -> str | None:
        return thumbnail_url(video)

    def get_storyboard_url(self, video: Video) -> str | None:
        return storyboard_url(video)

    def get_storyboard_vtt_url(self, video: Video) -> str | None:
        return f"{url}.vtt" if (url := storyboard_url(video)) else None


class VideoDetailSerializer(VideoSerializer):
    findings = VideoFindingSerializer(many=True)

    class Meta(VideoSerializer.Meta):
        fields = [*VideoSerializer.Meta.fields, "metadata", "findings"]
        read_only_fields = fields


class ImportRunSerializer(serializers.ModelSerializer[ImportRun]):
    rejection_count = serializers.IntegerField()

    class Meta:
        model = ImportRun
        fields = [
            "id", "corpus", "format", "path", "options", "job_id", "created_at", "finished_at", "report",
            "rejection_count",
        ]  # fmt: skip
        read_only_fields = fields


class ImportRejectionSerializer(serializers.ModelSerializer[ImportRejection]):
    class Meta:
        model = ImportRejection
        fields = ["file", "row", "field", "reason"]
        read_only_fields = fields


class ImportRunDetailSerializer(ImportRunSerializer):
    rejections = serializers.SerializerMethodField(
        help_text=f"the first {SHOWN_REJECTIONS}; all of them at /rejections"
    )

    class Meta(ImportRunSerializer.Meta):
        fields = [*ImportRunSerializer.Meta.fields, "rejections"]
        read_only_fields = fields

    def get_rejections(self, run: ImportRun) -> list[dict[str, Any]]:
        return list(ImportRejectionSerializer(run.rejections.all()[:SHOWN_REJECTIONS], many=True).data)


class NewImportSerializer(serializers.Serializer[None]):
    corpus = serializers.CharField(max_length=100, help_text="name of the corpus; made when there is none")
    format = serializers.ChoiceField(choices=list(FORMATS))
    options = serializers.DictField(
        required=False,
        help_text="what the format needs to be told, e.g. {'mapping': {...}} of a table's columns",
    )
    path = serializers.CharField(
        max_length=500, help_text="file or folder on the server, below an import root"
    )
