"""Clusters of near duplicates, what a lead does to them, and verdicts that can be withdrawn."""

from typing import Any, cast

import django_filters
from django.db.models import Count, Exists, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.corpora.access import require
from annotations.corpora.duplicates import services
from annotations.corpora.duplicates.opening import open_clusters, open_verdicts
from annotations.corpora.duplicates.queueing import start_search
from annotations.corpora.duplicates.serializers import (
    ConfirmSerializer,
    DuplicateClusterDetailSerializer,
    DuplicateClusterSerializer,
    DuplicateVerdictSerializer,
    MergeSerializer,
    NewClusterSerializer,
    OneVideoSerializer,
    SearchSerializer,
)
from annotations.corpora.models import DuplicateCluster, DuplicateMember, DuplicateVerdict
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may
from crashdesk.accounts.scope import not_allowed
from crashdesk.jobs.api import JobSerializer

PREVIEWED = 4


def _members() -> QuerySet[DuplicateMember]:
    shown = DuplicateMember.objects.select_related("video__media", "video__corpus", "added_by")
    return shown.defer("video__media__time_map", "video__metadata").order_by("video_id")


def _counted(members: QuerySet[DuplicateMember]) -> Coalesce:
    """How many of them are in the cluster at hand: counted only for the rows that a page shows."""
    own = members.order_by().filter(cluster=OuterRef("pk")).values("cluster")
    return Coalesce(Subquery(own.annotate(number=Count("pk")).values("number")), 0)


class DuplicateClusterFilter(django_filters.FilterSet):  # type: ignore[misc]
    corpus = django_filters.NumberFilter(method="with_member", label="has a video of this corpus")
    video = django_filters.NumberFilter(method="with_member", label="has this video")
    confirmed = django_filters.BooleanFilter(field_name="confirmed_at", lookup_expr="isnull", exclude=True)
    proposed = django_filters.BooleanFilter(method="with_proposals", label="has members to confirm or remove")
    across_corpora = django_filters.BooleanFilter(method="across", label="has videos of several corpora")

    class Meta:
        model = DuplicateCluster
        fields = ["corpus", "video", "confirmed", "proposed", "across_corpora"]

    def with_member(
        self, clusters: QuerySet[DuplicateCluster], name: str, value: int
    ) -> QuerySet[DuplicateCluster]:
        path = {"corpus": "video__corpus", "video": "video"}[name]
        return clusters.filter(
            Exists(DuplicateMember.objects.filter(cluster=OuterRef("pk"), **{path: int(value)}))
        )

    def with_proposals(
        self, clusters: QuerySet[DuplicateCluster], name: str, value: bool
    ) -> QuerySet[DuplicateCluster]:
        found = Exists(DuplicateMember.objects.filter(cluster=OuterRef("pk"), evidence__proposed=True))
        return clusters.filter(found if value else ~found)

    def across(
        self, clusters: QuerySet[DuplicateCluster], name: str, value: bool
    ) -> QuerySet[DuplicateCluster]:
        inner = DuplicateMember.objects.filter(cluster=OuterRef("cluster"))
        other = Exists(inner.exclude(video__corpus=OuterRef("video__corpus")))
        found = Exists(DuplicateMember.objects.filter(other, cluster=OuterRef("pk")))
        return clusters.filter(found if value else ~found)


class DuplicateClusterViewSet(viewsets.ReadOnlyModelViewSet[DuplicateCluster]):
    queryset = (
        DuplicateCluster.objects.select_related("confirmed_by")
        .annotate(
            member_count=_counted(DuplicateMember.objects.all()),
            proposed_count=_counted(DuplicateMember.objects.filter(evidence__proposed=True)),
        )
        .order_by("id")
    )
    filterset_class = DuplicateClusterFilter
    lookup_value_regex = r"\d+"
    needs = {
        "create": Action.IMPORT, "confirm": Action.IMPORT, "add": Action.IMPORT, "remove": Action.IMPORT,
        "merge": Action.IMPORT, "search": Action.IMPORT,
    }  # fmt: skip

    def get_queryset(self) -> QuerySet[DuplicateCluster]:
        clusters = super().get_queryset()
        if not getattr(self, "swagger_fake_view", False):
            clusters = open_clusters(clusters, _who(self.request))
        if self.action == "list":
            return clusters.prefetch_related(
                Prefetch("members", queryset=_members()[:PREVIEWED], to_attr="preview")
            )
        return clusters.prefetch_related(Prefetch("members", queryset=_members()))

    def get_serializer_class(self) -> type[DuplicateClusterSerializer | DuplicateClusterDetailSerializer]:
        return DuplicateClusterSerializer if self.action == "list" else DuplicateClusterDetailSerializer

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self._shown(int(kwargs["pk"]))

    @extend_schema(request=NewClusterSerializer, responses={201: DuplicateClusterDetailSerializer})
    def create(self, request: Request) -> Response:
        """Put videos together that no search found: two or more, none of them in a cluster."""
        given = _validated(NewClusterSerializer, request)
        cluster = services.create_cluster(video_ids=given["videos"], reason=given["reason"], by=_who(request))
        return self._shown(cluster.pk, status=201)

    @extend_schema(request=ConfirmSerializer, responses=DuplicateClusterDetailSerializer)
    def confirm(self, request: Request, pk: str) -> Response:
        """Say that every member belongs; proposals become members."""
        given = _validated(ConfirmSerializer, request)
        services.confirm(cluster_id=int(pk), note=given.get("note"), by=_who(request))
        return self._shown(int(pk))

    @extend_schema(request=OneVideoSerializer, responses=DuplicateClusterDetailSerializer)
    def add(self, request: Request, pk: str) -> Response:
        """Put a video in that is in no cluster; withdraws that it was taken out."""
        given = _validated(OneVideoSerializer, request)
        services.add_video(
            cluster_id=int(pk), video_id=given["video"], reason=given["reason"], by=_who(request)
        )
        return self._shown(int(pk))

    @extend_schema(
        request=OneVideoSerializer,
        responses={
            200: DuplicateClusterDetailSerializer,
            204: OpenApiResponse(description="one video was left: the cluster ended"),
        },
    )
    def remove(self, request: Request, pk: str) -> Response:
        """Take a video out: it is different from all others, and no search joins it with them again."""
        given = _validated(OneVideoSerializer, request)
        left = services.remove_member(
            cluster_id=int(pk), video_id=given["video"], reason=given["reason"], by=_who(request)
        )
        return Response(status=204) if left is None else self._shown(left.pk)

    @extend_schema(request=MergeSerializer, responses=DuplicateClusterDetailSerializer)
    def merge(self, request: Request, pk: str) -> Response:
        """Make one of this and other clusters; the one with the lowest id goes on."""
        given = _validated(MergeSerializer, request)
        target = services.merge(
            cluster_ids=[int(pk), *given["clusters"]], reason=given["reason"], by=_who(request)
        )
        return self._shown(target.pk)

    @extend_schema(
        operation_id="duplicate_clusters_search", request=SearchSerializer, responses={202: JobSerializer}
    )
    def search(self, request: Request) -> Response:
        """Look for near duplicates of a corpus's videos in all corpora, or for all there are."""
        given = _validated(SearchSerializer, request)
        if given["corpus"] is not None:
            require(_who(request), Action.IMPORT, given["corpus"])
        elif not may(_who(request), Action.IMPORT):
            raise not_allowed()
        job = start_search(corpus_id=given["corpus"], by=_who(request))
        return Response(JobSerializer(job).data, status=202)

    def _shown(self, cluster_id: int, *, status: int = 200) -> Response:
        cluster: Any = get_object_or_404(self.get_queryset(), pk=cluster_id)
        videos = [member.video_id for member in cluster.members.all()]
        cluster.verdicts = (
            open_verdicts(DuplicateVerdict.objects.all(), _who(self.request))
            .filter(Q(first__in=videos) | Q(second__in=videos))
            .select_related("by")
            .order_by("id")
        )
        return Response(DuplicateClusterDetailSerializer(cluster).data, status=status)


class DuplicateVerdictFilter(django_filters.FilterSet):  # type: ignore[misc]
    video = django_filters.NumberFilter(method="on_video", label="speaks of this video")

    class Meta:
        model = DuplicateVerdict
        fields = ["video", "same", "by"]

    def on_video(
        self, verdicts: QuerySet[DuplicateVerdict], name: str, value: int
    ) -> QuerySet[DuplicateVerdict]:
        return verdicts.filter(Q(first=int(value)) | Q(second=int(value)))


class DuplicateVerdictViewSet(viewsets.ReadOnlyModelViewSet[DuplicateVerdict]):
    queryset = DuplicateVerdict.objects.select_related("by").order_by("id")
    serializer_class = DuplicateVerdictSerializer
    filterset_class = DuplicateVerdictFilter
    lookup_value_regex = r"\d+"
    needs = {"destroy": Action.IMPORT}

    def get_queryset(self) -> QuerySet[DuplicateVerdict]:
        verdicts = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return verdicts
        return open_verdicts(verdicts, _who(self.request))

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Withdraw what was said; the next search decides anew."""
        services.withdraw_verdict(verdict_id=int(pk), by=_who(request))
        return Response(status=204)


def _validated(serializer: Any, request: Request) -> dict[str, Any]:
    given = serializer(data=request.data)
    given.is_valid(raise_exception=True)
    return cast(dict[str, Any], given.validated_data)


def _who(request: Request) -> User:
    return cast(User, request.user)
