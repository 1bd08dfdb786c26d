"""Auto-approval policies: preview, set up, certify, start, stop, undo, and what they did."""

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows, who
from crashdesk.jobs.api import JobSerializer
from model_assist.auto_approval import services
from model_assist.auto_approval.models import Outcome, Policy, PolicyDecision
from model_assist.auto_approval.monitoring import monitor
from model_assist.auto_approval.serializers import (
    MonitorSerializer,
    NewPolicySerializer,
    PolicyDecisionSerializer,
    PolicySerializer,
    PreviewPolicySerializer,
    StopPolicySerializer,
    UndoPolicySerializer,
)
from model_assist.auto_approval.services import NEEDS


class PolicyViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Policy]):
    queryset = Policy.objects.select_related(
        "certificate", "model_version", "created_by", "started_by", "stopped_by"
    )
    serializer_class = PolicySerializer
    filterset_fields = ["corpus", "guideline", "state", "stop_reason"]
    lookup_value_regex = r"\d+"
    needs = {
        name: NEEDS for name in ("create", "preview", "certify", "start", "stop", "undo", "decisions")
    }  # whoever reviews is not to know which cases are audited

    @extend_schema(request=NewPolicySerializer, responses={201: PolicySerializer})
    def create(self, request: Request) -> Response:
        """Set up a policy; its sample is drawn by a job. Nothing is approved before it is certified and started."""
        policy = services.create(**self._given(NewPolicySerializer, request), by=who(request))
        return Response(self.get_serializer(policy).data, status=201)

    @extend_schema(request=PreviewPolicySerializer, responses={202: JobSerializer})
    @action(detail=False, methods=["post"])
    def preview(self, request: Request) -> Response:
        """What such a policy would approve, with expected error and saving: the job's result. Nothing is changed."""
        job = services.request_preview(**self._given(PreviewPolicySerializer, request), by=who(request))
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(request=None, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def certify(self, request: Request, pk: str) -> Response:
        """Certify now; each case of the sample that people have not settled counts as wrong."""
        job = services.request_certification(policy=self.get_object(), by=who(request))
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(request=None, responses=PolicySerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Let a certified policy approve cases from now on."""
        return self._shown(services.start(policy=self.get_object(), by=who(request)))

    @extend_schema(request=StopPolicySerializer, responses=PolicySerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Stop it, at once."""
        given = self._given(StopPolicySerializer, request)
        return self._shown(services.stop(policy=self.get_object(), by=who(request), **given))

    @extend_schema(request=UndoPolicySerializer, responses={202: JobSerializer})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Give every case that it approved back to people; its decisions say which went back and which could not."""
        given = self._given(UndoPolicySerializer, request)
        job = services.request_undo(policy=self.get_object(), by=who(request), **given)
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(responses=MonitorSerializer)
    @action(detail=True, methods=["get"])
    def monitor(self, request: Request, pk: str) -> Response:
        """What its audit has found, over time, with both bounds. Problem not_certified before there is a threshold."""
        policy = self.get_object()
        certificate = getattr(policy, "certificate", None)
        if certificate is None or certificate.threshold is None:
            raise Problem("not_certified", f"Policy {policy.version} has no threshold: there is no audit.")
        return Response(MonitorSerializer(monitor(policy)).data)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "outcome",
                OpenApiTypes.STR,
                enum=Outcome.values,
                description="only these",
            )
        ],
        responses=PolicyDecisionSerializer(many=True),
    )
    @action(detail=True, methods=["get"])
    def decisions(self, request: Request, pk: str) -> Response:
        """What it decided about which case, newest first; for audited ones what people found."""
        rows = PolicyDecision.objects.filter(policy=self.get_object()).select_related("undone_by")
        if outcome := request.query_params.get("outcome"):
            rows = rows.filter(outcome=outcome)
        page = cast(list[PolicyDecision], self.paginate_queryset(cast(Any, rows.order_by("-id"))))
        return self.get_paginated_response(PolicyDecisionSerializer(page, many=True).data)

    def _given(self, serializer: Any, request: Request) -> dict[str, Any]:
        given = serializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        return dict(given.validated_data)

    def _shown(self, policy: Policy) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=policy.pk)).data)
