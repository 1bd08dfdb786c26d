"""What uploads look like in the API."""

from typing import Any

from django.urls import reverse
from rest_framework import serializers

from annotations.corpora.models import Upload
from annotations.corpora.uploads import multipart


class UploadSerializer(serializers.ModelSerializer[Upload]):
    url = serializers.SerializerMethodField(help_text="where its bytes are sent, and where it is asked about")
    method = serializers.SerializerMethodField(
        help_text="tus: PATCH to `url`; multipart: PUT parts to a bucket"
    )
    part_size = serializers.SerializerMethodField(help_text="bytes of each part but the last; multipart only")
    part_count = serializers.SerializerMethodField(help_text="multipart only")

    class Meta:
        model = Upload
        fields = [
            "id", "corpus", "name", "metadata", "size", "offset", "state", "problem", "video", "url", "method",
            "part_size", "part_count", "created_at", "created_by", "expires_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_url(self, upload: Upload) -> str:
        return url_of(upload)

    def get_method(self, upload: Upload) -> str:
        return "multipart" if upload.bucket_upload_id else "tus"

    def get_part_size(self, upload: Upload) -> int | None:
        return multipart.part_bytes(upload.size) if upload.bucket_upload_id else None

    def get_part_count(self, upload: Upload) -> int | None:
        return multipart.part_count(upload.size) if upload.bucket_upload_id else None


class NewUploadSerializer(serializers.Serializer[None]):
    corpus = serializers.CharField(max_length=100, help_text="name or number of a corpus")
    name = serializers.CharField(max_length=300, help_text="what the video will be called")
    size = serializers.IntegerField(min_value=0, help_text="bytes")
    metadata = serializers.DictField(
        child=serializers.JSONField(),
        required=False,
        default=dict,
        help_text="source, recording and split become the video's; the rest its metadata",
    )


class PartNumbersSerializer(serializers.Serializer[None]):
    numbers = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=1000
    )


class SignedPartSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    url = serializers.CharField(help_text="PUT the part's bytes here within an hour; the answer has its ETag")


class ArrivedPartSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    etag = serializers.CharField()
    size = serializers.IntegerField(help_text="bytes")


class DonePartSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(min_value=1)
    etag = serializers.CharField(max_length=200)


class DonePartsSerializer(serializers.Serializer[None]):
    parts = DonePartSerializer(many=True)


def url_of(upload: Upload) -> str:
    """The upload's own address, without host: it is right behind every proxy."""
    return reverse("upload-detail", args=[upload.pk])
