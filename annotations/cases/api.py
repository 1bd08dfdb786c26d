"""Guidelines and cases, to look at. Cases move through the rooms that own the move: predictions, reviews."""

import django_filters
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import viewsets
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import (
    Answer,
    ApprovedAnswer,
    Case,
    CaseStatus,
    Guideline,
    in_review_order,
)
from annotations.cases.reexamine import examine_again
from annotations.cases.serializers import CaseSerializer, CaseStateSerializer, GuidelineSerializer
from annotations.cases.sight import sees_every_order, shown_with
from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus, Video
from annotations.corpora.search import video_has_words
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows, who
from crashdesk.jobs.api import JobSerializer


class GuidelineViewSet(viewsets.ReadOnlyModelViewSet[Guideline]):
    queryset = Guideline.objects.prefetch_related("prompts")
    serializer_class = GuidelineSerializer
    filterset_fields = ["name"]
    lookup_value_regex = r"\d+"


class CaseFilter(django_filters.FilterSet):  # type: ignore[misc]
    status = django_filters.MultipleChoiceFilter(choices=CaseStatus.choices, method="with_status")
    source = django_filters.CharFilter(field_name="video__source")
    recording = django_filters.CharFilter(field_name="video__recording")
    search = django_filters.CharFilter(
        method="with_words", label="words of the clip's name or recording, or their beginnings"
    )
    ordering = django_filters.OrderingFilter(
        fields={"id": "id", "rank": "review_rank", "status_changed_at": "status_changed_at"}
    )

    class Meta:
        model = Case
        fields = [
            "corpus",
            "guideline",
            "video",
            "lacks_media",
            "status",
            "source",
            "recording",
            "search",
            "ordering",
        ]

    def filter_queryset(self, queryset: QuerySet[Case]) -> QuerySet[Case]:
        asked = self.form.cleaned_data
        named = {one.lstrip("-") for one in asked.get("ordering") or ()}
        if "status_changed_at" in named:
            self._refuse_unseen_times(asked["corpus"])
        if "review_rank" in named:
            self._refuse_unseen_ranks(asked["corpus"])
        cases: QuerySet[Case] = super().filter_queryset(queryset)
        return cases

    def _refuse_unseen_times(self, corpus: Corpus | None) -> None:
        """When a case really changed is not for those who may be shown another status (annotations.cases.sight)."""
        user = who(self.request)
        listed = open_to(user) if corpus is None else open_to(user).filter(pk=corpus.pk)
        known = open_to(user, Action.APPROVE), open_to(user, Action.ASSIGN)
        if listed.exclude(pk__in=known[0].values("pk")).exclude(pk__in=known[1].values("pk")).exists():
            message = "Only who approves in every corpus listed sorts by when the status changed: name such a corpus."
            told = {"ordering": ["status_changed_at is not open to you here"]}
            raise Problem("ordering_not_open", message, fields=told, status=400)

    def _refuse_unseen_ranks(self, corpus: Corpus | None) -> None:
        if not sees_every_order(who(self.request), None if corpus is None else corpus.pk):
            message = "Only who assigns, approves or selects in every corpus listed sorts by rank: name such a corpus."
            told = {"ordering": ["review_rank is not open to you here"]}
            raise Problem("ordering_not_open", message, fields=told, status=400)

    def with_status(self, cases: QuerySet[Case], name: str, value: list[str]) -> QuerySet[Case]:
        return cases.filter(shown_with(who(self.request), value)) if value else cases

    def with_words(self, cases: QuerySet[Case], name: str, value: str) -> QuerySet[Case]:
        return cases.filter(video_has_words(value, field="video_id"))


class CaseViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Case]):
    queryset = Case.objects.select_related("video__media").defer("video__media__time_map")
    filterset_class = CaseFilter
    late_rows = True
    lookup_value_regex = r"\d+"

    def get_queryset(self) -> QuerySet[Case]:
        cases: QuerySet[Case] = super().get_queryset()
        if self.action != "retrieve":
            return cases.annotate(rank=in_review_order())
        return cases.select_related("guideline").prefetch_related(
            "guideline__prompts",
            "video__findings",
            Prefetch("answers", Answer.objects.select_related("author")),
            Prefetch("approved", ApprovedAnswer.objects.select_related("approved_by")),
        )

    def get_serializer_class(self) -> type[CaseSerializer]:
        return CaseStateSerializer if self.action == "retrieve" else CaseSerializer


class ExamineAgainView(APIView):
    needs = {"post": Action.IMPORT}

    @extend_schema(operation_id="videos_examine_again", request=None, responses={202: JobSerializer})
    def post(self, request: Request, pk: int) -> Response:
        """Examine an unusable clip once more: its reader may have been stopped by a busy machine."""
        video = get_object_or_404(narrow(Video.objects.all(), who(request)), pk=pk)
        self.check_object_permissions(request, video)
        job = examine_again(video=video, by=who(request))
        return Response(JobSerializer(job).data, status=202)
