"""Suspect labels: list, detail, search, and what a person decides."""

from typing import cast

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.jobs.api import JobSerializer
from model_assist.suspects import services
from model_assist.suspects.models import Suspect


class WitnessSerializer(serializers.Serializer[None]):
    name = serializers.CharField(help_text="a model version, a person, or a clip")
    apart = serializers.FloatField(help_text="0 of one mind, 1 nothing in common")
    right = serializers.FloatField(help_text="how likely it is right; of a model as calibrated")


class SuspectEvidenceSerializer(serializers.Serializer[None]):
    model = WitnessSerializer(allow_null=True)
    people = WitnessSerializer(many=True)
    duplicates = WitnessSerializer(many=True)


class SuspectSerializer(serializers.ModelSerializer[Suspect]):
    corpus = serializers.IntegerField(source="case.corpus_id")
    evidence = SuspectEvidenceSerializer()
    decided_by = serializers.CharField(source="decided_by.username", allow_null=True, default=None)

    class Meta:
        model = Suspect
        fields = [
            "id", "case", "corpus", "kind", "answer", "approved", "score", "by_model", "by_people", "by_duplicates",
            "evidence", "state", "found_at", "seen_at", "decided_at", "decided_by", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class SuspectSearchSerializer(serializers.Serializer[None]):
    corpus = serializers.IntegerField(min_value=1, max_value=2**63 - 1)


class WordsSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=services.MOST_WORDS
    )


class ReasonWordsSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=services.MOST_WORDS)


class SuspectViewSet(viewsets.ReadOnlyModelViewSet[Suspect]):
    queryset = Suspect.objects.select_related("case", "decided_by")
    serializer_class = SuspectSerializer
    filterset_fields = ["case", "case__corpus", "kind", "state", "approved"]
    needs = {
        "list": Action.APPROVE,
        "retrieve": Action.APPROVE,
        "search": Action.APPROVE,
        "dismiss": Action.APPROVE,
        "confirm": Action.APPROVE,
        "send_back": Action.APPROVE,
    }

    def get_queryset(self) -> QuerySet[Suspect]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # nobody asks: the schema is being written
            return rows
        return narrow(rows, cast(User, self.request.user), "case__corpus", action=Action.APPROVE)

    @extend_schema(request=SuspectSearchSerializer, responses={202: JobSerializer})
    @action(detail=False, methods=["post"])
    def search(self, request: Request) -> Response:
        """Look through all labels of a corpus; the job tells how far it is."""
        given = SuspectSearchSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        person = cast(User, request.user)
        corpora = narrow(Corpus.objects.all(), person, "pk")
        corpus = get_object_or_404(corpora, pk=given.validated_data["corpus"])
        job = services.start_search(corpus=corpus, by=person)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=WordsSerializer, responses=SuspectSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:
        """The label is right after all."""
        given = WordsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.dismiss(
            suspect=self.get_object(), by=cast(User, request.user), reason=given.validated_data["reason"]
        )
        return Response(SuspectSerializer(made).data)

    @extend_schema(request=WordsSerializer, responses=SuspectSerializer)
    @action(detail=True, methods=["post"])
    def confirm(self, request: Request, pk: str) -> Response:
        """The label is wrong; the case stays where it is."""
        given = WordsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.confirm(
            suspect=self.get_object(), by=cast(User, request.user), reason=given.validated_data["reason"]
        )
        return Response(SuspectSerializer(made).data)

    @extend_schema(request=ReasonWordsSerializer, responses=SuspectSerializer)
    @action(detail=True, methods=["post"], url_path="return")
    def send_back(self, request: Request, pk: str) -> Response:
        """The label is wrong, and the case goes back to review with the reason."""
        given = ReasonWordsSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.send_back(
            suspect=self.get_object(), by=cast(User, request.user), reason=given.validated_data["reason"]
        )
        return Response(SuspectSerializer(made).data)
