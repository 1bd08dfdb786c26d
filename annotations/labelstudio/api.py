"""Pushing to and pulling from Label Studio, its projects, and the address its hints come to."""

from typing import Any, cast

from django.utils.crypto import constant_time_compare
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import Guideline
from annotations.corpora.access import OpenCorpusField, OpenField
from annotations.labelstudio.handlers import PULL, PUSH
from annotations.labelstudio.hints import hints
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.provision import SECRET_HEADER, webhook_secret
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may
from crashdesk.accounts.scope import not_allowed
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows, who
from crashdesk.jobs.api import JobSerializer
from crashdesk.jobs.services import enqueue


class PushSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.SYNC)
    guideline = serializers.PrimaryKeyRelatedField(
        queryset=Guideline.objects.all(), required=False, allow_null=True, default=None
    )
    unpredicted = serializers.BooleanField(
        default=False, help_text="also push ready cases that have no draft"
    )


class PullSerializer(serializers.Serializer[None]):
    project = OpenField(
        action=Action.SYNC, path="corpus_id", queryset=LabelStudioProject.objects.all(), required=False,
        allow_null=True, default=None,
    )  # fmt: skip


class LabelStudioProjectSerializer(serializers.ModelSerializer[LabelStudioProject]):
    corpus_name = serializers.CharField(source="corpus.name")
    guideline_name = serializers.CharField(source="guideline.__str__")
    url = serializers.SerializerMethodField()
    tasks = serializers.IntegerField(source="task_count")

    class Meta:
        model = LabelStudioProject
        fields = [
            "id", "corpus", "corpus_name", "guideline", "guideline_name", "project_id", "title", "url", "tasks",
            "shown_model_version", "polled_until", "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_url(self, project: LabelStudioProject) -> str | None:
        return project.url


class LabelStudioProjectViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[LabelStudioProject]):
    queryset = (
        LabelStudioProject.objects.with_task_counts().select_related("corpus", "guideline").order_by("id")
    )
    serializer_class = LabelStudioProjectSerializer
    filterset_fields = ["corpus", "guideline"]


class PushView(APIView):
    needs = {"post": Action.SYNC}

    @extend_schema(request=PushSerializer, responses={202: JobSerializer})
    def post(self, request: Request) -> Response:
        """Bring a corpus's predicted and returned cases into Label Studio."""
        given = PushSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        chosen = given.validated_data
        guideline = chosen["guideline"]
        args: dict[str, Any] = {
            "corpus": chosen["corpus"].pk,
            "guideline": guideline.pk if guideline else None,
            "unpredicted": chosen["unpredicted"],
        }
        job = enqueue(PUSH, args, by=cast(User, request.user), group=f"corpus:{chosen['corpus'].pk}")
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class PullView(APIView):
    needs = {"post": Action.SYNC}

    @extend_schema(request=PullSerializer, responses={202: JobSerializer})
    def post(self, request: Request) -> Response:
        """Look at every task in Label Studio again, whatever has been polled."""
        given = PullSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        project = given.validated_data["project"]
        if project is None and not may(who(request), Action.SYNC):
            raise not_allowed()
        job = enqueue(
            PULL, {"project": project.pk if project else None}, by=cast(User, request.user),
            corpus_id=project.corpus_id if project else None,
        )  # fmt: skip
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class WebhookView(APIView):
    """Label Studio calls this inside its reviewer's request, so it asks neither the database nor the broker."""

    permission_classes = [AllowAny]
    authentication_classes = []

    @extend_schema(exclude=True)
    def post(self, request: Request) -> Response:
        """Something changed in Label Studio: poll now. What the body says is not trusted, nor needed."""
        given = request.headers.get(SECRET_HEADER, "")
        if not constant_time_compare(given.encode(), webhook_secret().encode()):
            raise Problem("webhook_refused", f"The header {SECRET_HEADER} is missing or wrong.", status=403)
        hints.give()
        return Response(status=status.HTTP_204_NO_CONTENT)
