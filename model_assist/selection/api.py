"""Selection rounds: list, detail with every pick's reason, make a new one."""

from typing import cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.cases.models import Guideline
from annotations.corpora.access import OpenCorpusField
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import OpenRows, who
from model_assist.selection import services
from model_assist.selection.models import SelectionPick, SelectionRound


class SelectionPickSerializer(serializers.ModelSerializer[SelectionPick]):
    class Meta:
        model = SelectionPick
        fields = ["case", "rank", "uncertainty", "reason"]
        read_only_fields = fields


class SelectionRoundSerializer(serializers.ModelSerializer[SelectionRound]):
    picks = SelectionPickSerializer(many=True, read_only=True)

    class Meta:
        model = SelectionRound
        fields = [
            "id",
            "corpus",
            "guideline",
            "size",
            "random_share",
            "seed",
            "created_at",
            "created_by",
            "picks",
        ]
        read_only_fields = fields


class SelectSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.SELECT)
    guideline = serializers.PrimaryKeyRelatedField(queryset=Guideline.objects.all())
    size = serializers.IntegerField(min_value=1, max_value=100_000)
    random_share = serializers.FloatField(min_value=0, max_value=1, default=0.2)
    seed = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)


class SelectionRoundViewSet(OpenRows, mixins.CreateModelMixin, viewsets.ReadOnlyModelViewSet[SelectionRound]):
    queryset = SelectionRound.objects.prefetch_related("picks")
    serializer_class = SelectionRoundSerializer
    filterset_fields = ["corpus", "guideline"]
    needs = dict.fromkeys(["list", "retrieve", "create"], Action.SELECT)

    def get_queryset(self) -> QuerySet[SelectionRound]:
        """Where the person selects: what was picked tells cases that wait for review from others."""
        rounds: QuerySet[SelectionRound] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rounds
        return narrow(rounds, who(self.request), action=Action.SELECT)

    @extend_schema(request=SelectSerializer, responses={201: SelectionRoundSerializer})
    def create(self, request: Request) -> Response:
        """Rank the next cases for review by uncertainty, with a random slice."""
        given = SelectSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        made = services.select(by=cast(User, request.user), **given.validated_data)
        return Response(SelectionRoundSerializer(made).data, status=status.HTTP_201_CREATED)
