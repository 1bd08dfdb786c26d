"""Review plans, for leads: their seeds would tell everybody else what chance has in store."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.corpora.models import Corpus
from annotations.reviews.models import ReviewPlan, Strategy
from annotations.reviews.plans import FIELDS, set_plan
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import OpenRows, who


class ReviewPlanSerializer(serializers.ModelSerializer[ReviewPlan]):
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)
    thresholds = serializers.DictField(child=serializers.FloatField())

    class Meta:
        model = ReviewPlan
        fields = ["id", "corpus", "version", *FIELDS, "created_at", "created_by"]
        read_only_fields = fields


class NewReviewPlanSerializer(serializers.Serializer[None]):
    """What is left out stays as it was. Shares, thresholds and the limit are 0 to 1."""

    corpus = serializers.IntegerField()
    strategy = serializers.ChoiceField(choices=Strategy.choices, required=False)
    reservation_minutes = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)
    blind_share = serializers.FloatField(min_value=0, max_value=1, required=False)
    blind_seed = serializers.IntegerField(min_value=0, max_value=2**53 - 1, required=False)
    double_share = serializers.FloatField(min_value=0, max_value=1, required=False)
    double_seed = serializers.IntegerField(min_value=0, max_value=2**53 - 1, required=False)
    second_share = serializers.FloatField(min_value=0, max_value=1, required=False)
    second_seed = serializers.IntegerField(min_value=0, max_value=2**53 - 1, required=False)
    thresholds = serializers.DictField(
        child=serializers.FloatField(min_value=0, max_value=1),
        required=False,
        help_text="kind to the least agreement below which two answers are disputed",
    )
    gold_entrance = serializers.IntegerField(min_value=0, max_value=2**31 - 1, required=False)
    gold_share = serializers.FloatField(min_value=0, max_value=1, required=False)
    gold_seed = serializers.IntegerField(min_value=0, max_value=2**53 - 1, required=False)
    gold_limit = serializers.FloatField(min_value=0, max_value=1, required=False)
    gold_window = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)


class ReviewPlanViewSet(
    OpenRows, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ReviewPlan]
):
    queryset = ReviewPlan.objects.select_related("created_by").order_by("-id")
    serializer_class = ReviewPlanSerializer
    filterset_fields = ["corpus"]
    lookup_value_regex = r"\d+"
    needs = {"list": Action.ASSIGN, "retrieve": Action.ASSIGN, "create": Action.ASSIGN}

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return narrow(rows, who(self.request), action=Action.ASSIGN)

    @extend_schema(request=NewReviewPlanSerializer, responses={201: ReviewPlanSerializer})
    def create(self, request: Request) -> Response:
        """The next version of a corpus's plan; the newest one again when nothing in it is new."""
        given = NewReviewPlanSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = dict(given.validated_data)
        corpus = get_object_or_404(narrow(Corpus.objects.all(), who(request), "pk"), pk=fields.pop("corpus"))
        plan = set_plan(corpus=corpus, by=who(request), **fields)
        return Response(ReviewPlanSerializer(plan).data, status=201)
