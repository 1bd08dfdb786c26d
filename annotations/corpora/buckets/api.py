"""Buckets that corpora follow: list, add, sync."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.corpora.access import OpenCorpusField
from annotations.corpora.buckets import services
from annotations.corpora.models import BucketObject, BucketSource
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.narrowed import OpenRows
from crashdesk.jobs.api import JobSerializer


class BucketSourceSerializer(serializers.ModelSerializer[BucketSource]):
    corpus_name = serializers.CharField(source="corpus.name")

    class Meta:
        model = BucketSource
        fields = ["id", "corpus", "corpus_name", "url", "created_at", "created_by", "synced_at"]
        read_only_fields = fields


class NewBucketSourceSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.IMPORT)
    url = serializers.CharField(
        max_length=500, help_text="s3://bucket/folder, in one of CRASHDESK_BUCKET_ROOTS"
    )


class BucketObjectSerializer(serializers.ModelSerializer[BucketObject]):
    class Meta:
        model = BucketObject
        fields = ["key", "etag", "size", "modified_at", "video", "read_at"]
        read_only_fields = fields


class BucketSourceViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[BucketSource]):
    queryset = BucketSource.objects.select_related("corpus").order_by("id")
    serializer_class = BucketSourceSerializer
    filterset_fields = ["corpus"]
    lookup_value_regex = r"\d+"
    needs = {"create": Action.IMPORT, "sync": Action.IMPORT}

    @extend_schema(request=NewBucketSourceSerializer, responses={201: BucketSourceSerializer})
    def create(self, request: Request) -> Response:
        """Let a corpus follow a bucket, or a folder in one."""
        given = NewBucketSourceSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        source = services.add_bucket(**given.validated_data, by=cast(User, request.user))
        return Response(BucketSourceSerializer(source).data, status=201)

    @extend_schema(request=None, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def sync(self, request: Request, pk: str) -> Response:
        """Read what is new or changed; answers the job, whose args name the import: {"import_run_id"}."""
        _, job = services.start_sync(source_id=self.get_object().pk, by=cast(User, request.user))
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(responses=BucketObjectSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_fields=[])
    def objects(self, request: Request, pk: str) -> Response:
        """The objects that syncs have read, as they were then."""
        rows = BucketObject.objects.filter(source=self.get_object()).order_by("id")
        page = self.paginate_queryset(cast(Any, rows))
        return self.get_paginated_response(BucketObjectSerializer(cast(Any, page), many=True).data)
