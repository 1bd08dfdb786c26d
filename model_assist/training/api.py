"""Training runs: list, detail with loss and progress, start, cancel."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.corpora.access import OpenField
from annotations.datasets.models import DatasetVersion
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.narrowed import OpenRows
from crashdesk.jobs.api import JobSerializer
from crashdesk.jobs.services import cancel
from model_assist.registry.models import ModelVersion
from model_assist.training import services
from model_assist.training.models import TrainingRun


class TrainingRunSerializer(serializers.ModelSerializer[TrainingRun]):
    job = serializers.SerializerMethodField()

    class Meta:
        model = TrainingRun
        fields = [
            "id", "dataset_version", "start_from", "params", "loss_curve", "model_version", "created_at",
            "created_by", "finished_at", "job",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(JobSerializer)
    def get_job(self, run: TrainingRun) -> dict[str, Any]:
        return dict(JobSerializer(services.job_of(run)).data)


class StartTrainingSerializer(serializers.Serializer[None]):
    dataset_version = OpenField(action=Action.TRAIN, path="corpus_id", queryset=DatasetVersion.objects.all())
    start_from = serializers.PrimaryKeyRelatedField(queryset=ModelVersion.objects.all(), required=False)
    params = serializers.DictField(required=False, help_text="hyper-parameters that differ from CrashChat's")


class TrainingRunViewSet(OpenRows, mixins.CreateModelMixin, viewsets.ReadOnlyModelViewSet[TrainingRun]):
    queryset = TrainingRun.objects.all()
    serializer_class = TrainingRunSerializer
    corpus_path = "dataset_version__corpus"
    filterset_fields = ["dataset_version", "start_from", "model_version"]
    needs = {"create": Action.TRAIN, "cancel": Action.CANCEL}

    @extend_schema(request=StartTrainingSerializer, responses={202: TrainingRunSerializer})
    def create(self, request: Request) -> Response:
        """Fine-tune the model in use (or another) on a dataset version's train split."""
        given = StartTrainingSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        run = services.start_training(by=cast(User, request.user), **given.validated_data)
        return Response(TrainingRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=None, responses=TrainingRunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop the run; it saves its place and can be retried through its job."""
        run = self.get_object()
        cancel(services.job_of(run).pk, by=cast(User, request.user))
        return Response(TrainingRunSerializer(run).data)
