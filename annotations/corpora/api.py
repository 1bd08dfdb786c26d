"""Corpora, videos with their media, and imports."""

from pathlib import Path
from typing import Any, cast

import django_filters
from django.db import models
from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from annotations.corpora import services
from annotations.corpora.models import Corpus, ImportRejection, ImportRun, MediaState, Video, VideoFinding
from annotations.corpora.restricted import seen_by
from annotations.corpora.search import video_has_words
from annotations.corpora.serializers import (
    CorpusDetailSerializer,
    CorpusSerializer,
    ImportRejectionSerializer,
    ImportRunDetailSerializer,
    ImportRunSerializer,
    NewCorpusSerializer,
    NewImportSerializer,
    VideoDetailSerializer,
    VideoSerializer,
)
from annotations.corpora.storyboard import storyboard_vtt
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import OpenRows, who
from crashdesk.jobs.api import JobSerializer
from crashdesk.storage.ranged import stored_file_response


class AnyAccept(BaseContentNegotiation):
    """Bytes have one form: a player's Accept header must not lead to a refusal."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


def counted(model: type[models.Model] | QuerySet[Any], foreign_key: str) -> Coalesce:
    """How many rows of `model`, or of these, point at the row at hand: counted only for those that a page shows."""
    found = model if isinstance(model, QuerySet) else model._default_manager.all()
    rows = found.order_by().filter(**{foreign_key: OuterRef("pk")}).values(foreign_key)
    return Coalesce(Subquery(rows.annotate(number=Count("pk")).values("number")), 0)


class CorpusViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Corpus]):
    queryset = Corpus.objects.annotate(video_count=counted(Video, "corpus")).order_by("name")
    filterset_fields = ["name"]
    lookup_value_regex = r"\d+"
    corpus_path = "pk"
    needs = {"create": Action.IMPORT}
    sitewide = {"create"}

    def get_serializer_class(self) -> type[CorpusSerializer]:
        return CorpusDetailSerializer if self.action == "retrieve" else CorpusSerializer

    def get_object(self) -> Corpus:
        """With the counts that only the detail shows."""
        corpus = super().get_object()
        counts = {
            "case_counts": corpus.cases.order_by().values_list("status").annotate(Count("id")),
            "media_counts": corpus.videos.order_by().values_list("media__state").annotate(Count("id")),
            "sources": corpus.videos.order_by("source").values_list("source").annotate(Count("id")),
        }
        for name, rows in counts.items():
            setattr(
                corpus,
                name,
                {value or ("absent" if name == "media_counts" else ""): count for value, count in rows},
            )
        return corpus

    @extend_schema(request=NewCorpusSerializer, responses={201: CorpusSerializer})
    def create(self, request: Request) -> Response:
        """Make an empty corpus."""
        given = NewCorpusSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        corpus = services.create_corpus(**given.validated_data, by=cast(User, request.user))
        return Response(CorpusSerializer(self.get_queryset().get(pk=corpus.pk)).data, status=201)


class VideoFilter(django_filters.FilterSet):  # type: ignore[misc]
    state = django_filters.ChoiceFilter(
        field_name="media__state", choices=MediaState.choices, null_value="absent", null_label="absent"
    )
    has_findings = django_filters.BooleanFilter(method="with_findings")
    finding = django_filters.CharFilter(method="with_finding", label="code of a finding")
    search = django_filters.CharFilter(
        method="with_words", label="words of the name or recording, or their beginnings"
    )

    class Meta:
        model = Video
        fields = ["corpus", "source", "split", "recording", "state", "has_findings", "finding", "search"]

    def with_words(self, videos: QuerySet[Video], name: str, value: str) -> QuerySet[Video]:
        return videos.filter(video_has_words(value))

    def with_findings(self, videos: QuerySet[Video], name: str, value: bool) -> QuerySet[Video]:
        found = Exists(self._findings().filter(video=OuterRef("pk")))
        return videos.filter(found if value else ~found)

    def with_finding(self, videos: QuerySet[Video], name: str, value: str) -> QuerySet[Video]:
        return videos.filter(Exists(self._findings().filter(video=OuterRef("pk"), code=value)))

    def _findings(self) -> QuerySet[VideoFinding]:
        return seen_by(VideoFinding.objects.all(), who(self.request))


class VideoViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Video]):
    queryset = (
        Video.objects.select_related("media").defer("media__time_map", "media__storyboard").order_by("id")
    )
    filterset_class = VideoFilter
    late_rows = True
    lookup_value_regex = r"\d+"

    def get_queryset(self) -> QuerySet[Video]:
        videos: QuerySet[Video] = super().get_queryset()
        findings = VideoFinding.objects.all()
        if not getattr(self, "swagger_fake_view", False):
            findings = seen_by(findings, who(self.request))
        videos = videos.annotate(finding_count=counted(findings, "video"))
        if self.action != "retrieve":
            return videos
        return videos.prefetch_related(Prefetch("findings", queryset=findings))

    def get_serializer_class(self) -> type[VideoSerializer]:
        return VideoDetailSerializer if self.action == "retrieve" else VideoSerializer

    @extend_schema(
        operation_id="videos_proxy",
        responses={
            (200, "video/mp4"): OpenApiTypes.BINARY,
            (206, "video/mp4"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="where the bucket serves it"),
        },
    )
    @action(detail=True, methods=["get", "head"], content_negotiation_class=AnyAccept)
    def proxy(self, request: Request, pk: str) -> HttpResponseBase:
        """What browsers play: constant frame rate, starts at zero. Serves byte ranges."""
        return self._stored(request, "proxy_name", "video/mp4")

    @extend_schema(operation_id="videos_thumbnail", responses={(200, "image/jpeg"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get", "head"], content_negotiation_class=AnyAccept)
    def thumbnail(self, request: Request, pk: str) -> HttpResponseBase:
        """The clip's middle frame as a JPEG, 320 pixels wide."""
        return self._stored(request, "thumbnail_name", "image/jpeg")

    @extend_schema(operation_id="videos_storyboard", responses={(200, "image/jpeg"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get", "head"], content_negotiation_class=AnyAccept)
    def storyboard(self, request: Request, pk: str) -> HttpResponseBase:
        """One JPEG of small pictures of the clip at regular steps; storyboard.vtt says which is where."""
        return self._stored(request, "storyboard_name", "image/jpeg")

    # Sorts before `storyboard`, whose format suffix would take this path.
    @extend_schema(operation_id="videos_storyboard_cues", responses={(200, "text/vtt"): OpenApiTypes.STR})
    @action(
        detail=True, methods=["get", "head"], url_path=r"storyboard\.vtt", url_name="storyboard-vtt",
        content_negotiation_class=AnyAccept,
    )  # fmt: skip
    def cues(self, request: Request, pk: str) -> HttpResponseBase:
        """WebVTT: from when to when of the proxy which part of the storyboard shows it (#xywh=x,y,w,h)."""
        video = self._open().select_related("media").filter(pk=pk).first()
        if video is None or video.media is None or not video.media.storyboard_name:
            raise Http404("the clip has no storyboard yet")
        text = storyboard_vtt(video.media, reverse("video-storyboard", [pk]))
        return HttpResponse(text, content_type="text/vtt; charset=utf-8")

    def _open(self) -> QuerySet[Video]:
        """The videos that the person may see, without what lists join to them."""
        return narrow(Video.objects.all(), who(self.request))

    def _stored(self, request: Request, field: str, content_type: str) -> HttpResponseBase:
        name = self._open().filter(pk=self.kwargs["pk"]).values_list(f"media__{field}", flat=True).first()
        if not name:
            raise Http404("the clip has no such file yet")
        return stored_file_response(request._request, name, content_type=content_type)


class ImportViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[ImportRun]):
    queryset = ImportRun.objects.annotate(rejection_count=counted(ImportRejection, "run")).order_by("-id")
    filterset_fields = ["corpus", "format", "job_id"]
    lookup_value_regex = r"\d+"
    needs = {"create": Action.IMPORT}

    def get_serializer_class(self) -> type[ImportRunSerializer]:
        return ImportRunDetailSerializer if self.action == "retrieve" else ImportRunSerializer

    @extend_schema(request=NewImportSerializer, responses={202: JobSerializer})
    def create(self, request: Request) -> Response:
        """Start an import; answers the job, whose args name the import: {"import_run_id"}."""
        given = NewImportSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        _, job = services.start_import(
            corpus_name=given.validated_data["corpus"],
            format=given.validated_data["format"],
            path=Path(given.validated_data["path"]),
            options=given.validated_data.get("options"),
            by=cast(User, request.user),
        )
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(responses=ImportRejectionSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_fields=[])
    def rejections(self, request: Request, pk: str) -> Response:
        """Every row that was not taken, page by page."""
        rows = ImportRejection.objects.filter(run=self.get_object())
        page = self.paginate_queryset(cast(Any, rows))
        return self.get_paginated_response(ImportRejectionSerializer(cast(Any, page), many=True).data)
