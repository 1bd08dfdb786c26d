"""Checking Label Studio, setting up projects, and the wording of a corpus's form, by address."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import Guideline
from annotations.corpora.access import OpenCorpusField
from annotations.labelstudio.config import TEXT_FIELDS, WORDING
from annotations.labelstudio.forms import change_form, ensure_form
from annotations.labelstudio.handlers import CHECK, PROVISION
from annotations.labelstudio.models import LabelStudioForm
from annotations.labelstudio.push import newest_guideline
from crashdesk.accounts.permissions import Action, may
from crashdesk.accounts.scope import not_allowed
from crashdesk.api.narrowed import who
from crashdesk.jobs.api import JobSerializer
from crashdesk.jobs.services import enqueue


class RoomSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.SYNC)
    guideline = serializers.PrimaryKeyRelatedField(
        queryset=Guideline.objects.all(), required=False, allow_null=True, default=None,
        help_text="default: the newest that the corpus has cases of",
    )  # fmt: skip


class FormChangeSerializer(RoomSerializer):
    wording = serializers.DictField(
        child=serializers.CharField(allow_blank=True), default=dict,
        help_text=f"what to say otherwise, \"\" for the default: {', '.join(WORDING)}",
    )  # fmt: skip
    suggestions = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()), required=False, allow_null=True, default=None,
        help_text=f"sentences offered below {', '.join(TEXT_FIELDS)}, instead of those of today",
    )  # fmt: skip
    suggest_again = serializers.BooleanField(
        default=False, help_text="offer the sentences that are most frequent in the corpus now"
    )


class FormSerializer(serializers.ModelSerializer[LabelStudioForm]):
    class Meta:
        model = LabelStudioForm
        fields = [
            "id", "corpus", "guideline", "version", "wording", "suggestions", "instructions", "xml", "made_at",
        ]  # fmt: skip
        read_only_fields = fields


class CheckView(APIView):
    needs = {"post": Action.SYNC}

    @extend_schema(request=None, responses={202: JobSerializer})
    def post(self, request: Request) -> Response:
        """Look at the configured Label Studio; the job's result lists what was found and what to do."""
        if not may(who(request), Action.SYNC):
            raise not_allowed()
        job = enqueue(CHECK, {}, by=who(request))
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class ProvisionView(APIView):
    needs = {"post": Action.SYNC}

    @extend_schema(request=RoomSerializer, responses={202: JobSerializer})
    def post(self, request: Request) -> Response:
        """Make a corpus's projects in Label Studio, or bring them in line, without pushing any case."""
        corpus, guideline, _ = _room(RoomSerializer, request)
        job = enqueue(
            PROVISION, {"corpus": corpus.pk, "guideline": guideline.pk if guideline else None}, by=who(request),
            group=f"corpus:{corpus.pk}",
        )  # fmt: skip
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class FormView(APIView):
    needs = {"post": Action.SYNC}

    @extend_schema(request=FormChangeSerializer, responses={200: FormSerializer})
    def post(self, request: Request) -> Response:
        """Reword a corpus's form, or with nothing given see the version that counts. The next push brings it along."""
        corpus, guideline, given = _room(FormChangeSerializer, request)
        guideline, by = guideline or newest_guideline(corpus), who(request)
        ensure_form(corpus=corpus, guideline=guideline, by=by)
        form = change_form(
            corpus=corpus, guideline=guideline, by=by, wording=given["wording"], suggestions=given["suggestions"],
            suggest_again=given["suggest_again"],
        )  # fmt: skip
        return Response(FormSerializer(form).data)


def _room(kind: type[RoomSerializer], request: Request) -> tuple[Any, Guideline | None, dict[str, Any]]:
    given = kind(data=request.data, context={"request": request})
    given.is_valid(raise_exception=True)
    chosen: dict[str, Any] = given.validated_data
    return chosen["corpus"], chosen["guideline"], chosen
