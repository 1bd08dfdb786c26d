"""Decisions on cases, and the list of reviews."""

from typing import Any, cast

from django.db.models import Q, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import Case, CaseStatus
from annotations.cases.sight import sight_of
from annotations.reviews import decisions
from annotations.reviews.models import Review
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow, reach
from crashdesk.api.errors import error_body
from crashdesk.api.narrowed import OpenRows, who

BULK_LIMIT = 500
BEFORE_SUBMISSION = (CaseStatus.READY, CaseStatus.PREDICTED, CaseStatus.IN_REVIEW, CaseStatus.RETURNED)


class ReasonSerializer(serializers.Serializer[None]):
    reason = serializers.CharField()


class OptionalReasonSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(default="reopened")


class CaseStatusSerializer(serializers.ModelSerializer[Case]):
    class Meta:
        model = Case
        fields = ["id", "status", "excluded_reason", "returned_reason", "status_changed_at"]
        read_only_fields = fields


class BulkApproveSerializer(serializers.Serializer[None]):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1), min_length=1, max_length=BULK_LIMIT
    )


class DecisionSerializer(serializers.Serializer[decisions.Decision]):
    id = serializers.IntegerField(source="case_id")
    approved = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    def get_approved(self, decision: decisions.Decision) -> bool:
        return decision.problem is None

    def get_error(self, decision: decisions.Decision) -> dict[str, Any] | None:
        problem = decision.problem
        if problem is None:
            return None
        return cast(dict[str, Any], error_body(problem.code, problem.message, problem.fields)["error"])


class BulkResultSerializer(serializers.Serializer[dict[str, Any]]):
    approved = serializers.IntegerField(help_text="how many went through")
    results = DecisionSerializer(many=True)


class ReviewSerializer(serializers.ModelSerializer[Review]):
    reviewer = serializers.CharField(source="reviewer.username")

    class Meta:
        model = Review
        fields = [
            "id", "case", "reviewer", "outcome", "origin", "lead_seconds", "answers", "problems", "opened_at",
            "submitted_at", "withdrawn_at",
        ]  # fmt: skip
        read_only_fields = fields


class ReviewDetailSerializer(ReviewSerializer):
    findings = serializers.SerializerMethodField(
        help_text="broken rules; those with `blocks` prevent approval"
    )

    class Meta(ReviewSerializer.Meta):
        fields = [*ReviewSerializer.Meta.fields, "findings"]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_findings(self, review: Review) -> list[dict[str, Any]]:
        return [decisions.finding_data(finding) for finding in decisions.findings_of(review)]


def seen_by(person: User) -> Q:
    """Of reviews: one's own, and where one approves or exports those of others, unless one must not know of them.

    Nobody but a lead sees other people's reviews of a case for two before it is submitted, nor of a case that is masked
    (annotations.cases.sight).
    """
    blind = Q(case__draw__isnull=False, case__draw__double=True, case__status__in=BEFORE_SUBMISSION)
    hidden = blind | Q(case__in=list(sight_of(person).masked()))
    own, leads = Q(reviewer=person), reach(person, Action.ASSIGN).inside("case__corpus")
    approving, exporting = (
        reach(person, action).inside("case__corpus") for action in (Action.APPROVE, Action.EXPORT)
    )
    others = approving | exporting if approving and exporting else Q()
    if leads:
        others &= leads | ~hidden
    return own | others if others else others  # an empty condition is everything


class ReviewViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Review]):
    queryset = Review.objects.select_related("reviewer", "case__video__media").prefetch_related("answers")
    corpus_path = "case__corpus"
    filterset_fields = {
        "case": ["exact"],
        "case__corpus": ["exact"],
        "reviewer": ["exact"],
        "reviewer__username": ["exact"],
        "outcome": ["exact"],
        "submitted_at": ["gte", "lt"],
    }

    def get_queryset(self) -> QuerySet[Review]:
        rows: QuerySet[Review] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(seen_by(who(self.request)))

    def get_serializer_class(self) -> type[ReviewSerializer]:
        return ReviewDetailSerializer if self.action == "retrieve" else ReviewSerializer


def _open_case(request: Request, pk: int) -> Case:
    return get_object_or_404(narrow(Case.objects.all(), who(request)), pk=pk)


class ApproveView(APIView):
    needs = {"post": Action.APPROVE}

    @extend_schema(request=None, responses=CaseStatusSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Let the latest submitted review's answers count."""
        case = decisions.approve(case=_open_case(request, pk), by=cast(User, request.user))
        return Response(CaseStatusSerializer(case).data)


class BulkApproveView(APIView):
    needs = {"post": Action.APPROVE}

    @extend_schema(
        operation_id="cases_approve_many", request=BulkApproveSerializer, responses=BulkResultSerializer
    )
    def post(self, request: Request) -> Response:
        """Approve many cases; each result stands alone."""
        given = BulkApproveSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = decisions.approve_many(case_ids=given.validated_data["ids"], by=cast(User, request.user))
        approved = sum(decision.problem is None for decision in made)
        return Response(
            {"approved": approved, "results": [DecisionSerializer(decision).data for decision in made]}
        )


class ReturnView(APIView):
    needs = {"post": Action.APPROVE}

    @extend_schema(request=ReasonSerializer, responses=CaseStatusSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Give the case back to the annotator, with the reason."""
        given = ReasonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        case = decisions.return_case(
            case=_open_case(request, pk),
            reason=given.validated_data["reason"],
            by=cast(User, request.user),
        )
        return Response(CaseStatusSerializer(case).data)


class ExcludeView(APIView):
    needs = {"post": Action.EXCLUDE}

    @extend_schema(request=ReasonSerializer, responses=CaseStatusSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Take the case out of the work, with the reason."""
        given = ReasonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        case = decisions.exclude(
            case=_open_case(request, pk),
            reason=given.validated_data["reason"],
            by=cast(User, request.user),
        )
        return Response(CaseStatusSerializer(case).data)


class ReopenView(APIView):
    needs = {"post": Action.EXCLUDE}

    @extend_schema(request=OptionalReasonSerializer, responses=CaseStatusSerializer)
    def post(self, request: Request, pk: int) -> Response:
        """Take an excluded case back to its start, or give an approved one back to the annotator."""
        given = OptionalReasonSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        case = decisions.reopen(
            case=_open_case(request, pk),
            by=cast(User, request.user),
            reason=given.validated_data["reason"],
        )
        return Response(CaseStatusSerializer(case).data)
