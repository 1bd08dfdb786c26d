"""Calibrations: list, detail with bins for the reliability plot, fit."""

from typing import cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.cases.kinds import Kind
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.jobs.api import JobSerializer
from model_assist.calibration import services
from model_assist.calibration.models import Calibration
from model_assist.registry.models import ModelVersion


class BinSerializer(serializers.Serializer[None]):
    low = serializers.FloatField(help_text="the lowest confidence in the bin")
    high = serializers.FloatField()
    count = serializers.IntegerField()
    right = serializers.IntegerField()
    confidence = serializers.FloatField(help_text="mean")
    share = serializers.FloatField(help_text="right / count")
    share_low = serializers.FloatField(help_text="95 % Wilson interval of the share")
    share_high = serializers.FloatField()


class ReliabilitySerializer(serializers.Serializer[None]):
    ece = serializers.FloatField(help_text="expected calibration error, bins of equal size")
    chance_ece = serializers.FloatField(help_text="what a perfect calibration would show by chance")
    brier = serializers.FloatField()
    log_loss = serializers.FloatField()
    bins = BinSerializer(many=True)


class CalibrationSerializer(serializers.ModelSerializer[Calibration]):
    before = ReliabilitySerializer(read_only=True)
    after = ReliabilitySerializer(read_only=True)

    class Meta:
        model = Calibration
        fields = [
            "id", "model_version", "kind", "method", "parameters", "evidence", "pairs", "right", "recordings", "rule",
            "standing", "left_out", "rouge_l", "before", "after", "folds", "seed", "answers_hash", "created_at",
            "created_by", "job_id",
        ]  # fmt: skip
        read_only_fields = fields


class FitSerializer(serializers.Serializer[None]):
    model_version = serializers.PrimaryKeyRelatedField(queryset=ModelVersion.objects.all())
    kinds = serializers.MultipleChoiceField(
        choices=Kind.choices, required=False, help_text="default: all six"
    )
    evidence = serializers.ChoiceField(
        choices=services.CHOICES,
        default=services.AUTO,
        help_text="all reviewed answers, only those reviewed without a model's draft in view, or these where enough",
    )
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class CalibrationViewSet(viewsets.ReadOnlyModelViewSet[Calibration]):
    queryset = Calibration.objects.all()
    serializer_class = CalibrationSerializer
    filterset_fields = ["model_version", "kind", "evidence", "method"]
    lookup_value_regex = r"\d+"
    needs = {"create": Action.PREDICT}
    sitewide = {"create"}  # a model is calibrated on the approved answers of all corpora

    @extend_schema(request=FitSerializer, responses={202: JobSerializer})
    def create(self, request: Request) -> Response:
        """Fit on the reviewed answers of a model version; the job's result names the calibrations and refusals."""
        given = FitSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        wanted = dict(given.validated_data)
        wanted["kinds"] = sorted(wanted.get("kinds", ()))
        job = services.enqueue_fit(by=cast(User, request.user), **wanted)
        return Response(JobSerializer(job).data, status=202)
