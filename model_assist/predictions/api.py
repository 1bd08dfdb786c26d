"""Prediction runs: list, detail with progress, start, cancel."""

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.cases.models import Case, Guideline
from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from model_assist.predictions import services
from model_assist.predictions.models import PredictionRun
from model_assist.registry.models import ModelVersion


class PredictionRunSerializer(serializers.ModelSerializer[PredictionRun]):
    progress = serializers.SerializerMethodField()

    class Meta:
        model = PredictionRun
        fields = ["id", "corpus", "guideline", "model_version", "created_at", "created_by", "progress"]
        read_only_fields = fields

    def get_progress(self, run: PredictionRun) -> dict[str, int]:
        return services.progress_of(run)


class StartPredictionSerializer(serializers.Serializer[None]):
    corpus = serializers.PrimaryKeyRelatedField(queryset=Corpus.objects.all())
    guideline = serializers.PrimaryKeyRelatedField(queryset=Guideline.objects.all())
    model_version = serializers.PrimaryKeyRelatedField(queryset=ModelVersion.objects.all(), required=False)
    case_ids = serializers.PrimaryKeyRelatedField(queryset=Case.objects.all(), many=True, required=False)


class PredictionRunViewSet(mixins.CreateModelMixin, viewsets.ReadOnlyModelViewSet[PredictionRun]):
    queryset = PredictionRun.objects.all()
    serializer_class = PredictionRunSerializer
    filterset_fields = ["corpus", "guideline", "model_version"]
    needs = {"create": Action.PREDICT, "cancel": Action.CANCEL}

    @extend_schema(request=StartPredictionSerializer, responses={202: PredictionRunSerializer})
    def create(self, request: Request) -> Response:
        """Let the model draft answers for every usable case of a corpus, or just the named ones."""
        given = StartPredictionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        cases = given.validated_data.pop("case_ids", None)
        run = services.start_run(
            by=cast(User, request.user),
            case_ids=None if cases is None else [case.pk for case in cases],
            **given.validated_data,
        )
        return Response(PredictionRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses=PredictionRunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop the run; answers already written stay."""
        run = self.get_object()
        services.cancel_run(run=run, by=cast(User, request.user))
        return Response(PredictionRunSerializer(run).data)
