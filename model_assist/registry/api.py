"""Model versions: list, detail with evaluations, promote."""

from typing import cast

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import who
from model_assist.registry import services
from model_assist.registry.models import Evaluation, ModelVersion, Promotion


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    class Meta:
        model = Evaluation
        fields = ["id", "model_version", "dataset_version", "split", "metrics", "created_at"]
        read_only_fields = fields


class PromotionSerializer(serializers.ModelSerializer[Promotion]):
    class Meta:
        model = Promotion
        fields = ["id", "model_version", "replaced", "reason", "promoted_at", "promoted_by"]
        read_only_fields = fields


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    evaluations = EvaluationSerializer(many=True, read_only=True)
    promotions = PromotionSerializer(many=True, read_only=True)

    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "base", "adapters", "routing", "engine_settings", "weights_hash", "parent", "trained_on",
            "in_use", "created_at", "evaluations", "promotions",
        ]  # fmt: skip
        read_only_fields = fields


class PromoteSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=500)


class ModelVersionViewSet(viewsets.ReadOnlyModelViewSet[ModelVersion]):
    queryset = ModelVersion.objects.prefetch_related("promotions")
    serializer_class = ModelVersionSerializer
    filterset_fields = ["in_use", "parent", "trained_on"]
    needs = {"promote": Action.PROMOTE}
    sitewide = {"promote"}

    def get_queryset(self) -> QuerySet[ModelVersion]:
        """With the evaluations on datasets that the person may see."""
        versions = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return versions
        evaluations = narrow(Evaluation.objects.all(), who(self.request), "dataset_version__corpus")
        return versions.prefetch_related(Prefetch("evaluations", evaluations))

    @extend_schema(request=PromoteSerializer, responses=ModelVersionSerializer)
    @action(detail=True, methods=["post"])
    def promote(self, request: Request, pk: str) -> Response:
        """Put this version in use for the next prediction run; promoting an older one rolls back."""
        given = PromoteSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        version = self.get_object()
        services.promote(model_version=version, by=cast(User, request.user), **given.validated_data)
        return Response(ModelVersionSerializer(self.get_object()).data)
