"""Comparing CrashDesk and Label Studio by address, and what the last comparison found."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.corpora.access import OpenField, narrow, require
from annotations.labelstudio.comparing import ask_to_reconcile
from annotations.labelstudio.discrepancies import Discrepancy, last_report
from annotations.labelstudio.models import LabelStudioProject
from crashdesk.accounts.permissions import Action, may
from crashdesk.accounts.scope import not_allowed
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import who
from crashdesk.jobs.api import JobSerializer


class ReconcileSerializer(serializers.Serializer[None]):
    project = OpenField(
        action=Action.SYNC, path="corpus_id", queryset=LabelStudioProject.objects.all(), required=False,
        allow_null=True, default=None,
    )  # fmt: skip
    repair = serializers.BooleanField(default=False, help_text="put right what can be put right")


class DiscrepancySerializer(serializers.Serializer[Discrepancy]):
    code = serializers.CharField()
    title = serializers.CharField(source="kind.title")
    meaning = serializers.CharField(source="kind.meaning")
    repair = serializers.CharField(source="kind.repair", help_text="what a repair does; empty: people decide")
    message = serializers.CharField()
    settled = serializers.CharField(help_text="what was done about it; empty where it still stands")
    task_id = serializers.IntegerField(allow_null=True)
    case_id = serializers.IntegerField(allow_null=True)


class ReconciliationSerializer(serializers.Serializer[LabelStudioProject]):
    """What the last comparison of a project found; of more than 500 the open ones first."""

    checked_at = serializers.DateTimeField(allow_null=True)
    due = serializers.BooleanField(source="check_due")
    found = serializers.SerializerMethodField()
    open = serializers.SerializerMethodField()
    discrepancies = serializers.SerializerMethodField()

    def get_found(self, project: LabelStudioProject) -> int:
        return int(project.check_report.get("found", 0))

    def get_open(self, project: LabelStudioProject) -> int:
        return int(project.check_report.get("open", 0))

    @extend_schema(responses=DiscrepancySerializer(many=True))
    def get_discrepancies(self, project: LabelStudioProject) -> list[dict[str, Any]]:
        return [dict(DiscrepancySerializer(one).data) for one in last_report(project)]


class ReconcileView(APIView):
    needs = {"post": Action.SYNC}

    @extend_schema(request=ReconcileSerializer, responses={202: JobSerializer})
    def post(self, request: Request) -> Response:
        """Compare every task and annotation with what CrashDesk has; with `repair`, put right what can be."""
        given = ReconcileSerializer(data=request.data, context={"request": request})
        given.is_valid(raise_exception=True)
        project, repair = given.validated_data["project"], given.validated_data["repair"]
        if project is None and not may(who(request), Action.SYNC):
            raise not_allowed()
        job = ask_to_reconcile(project=project, repair=repair, by=who(request))
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class ReconciliationView(APIView):
    needs = {"get": Action.SYNC}

    @extend_schema(responses=ReconciliationSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """What the last comparison of this project found. It names people, so it is for those who synchronise."""
        projects = narrow(LabelStudioProject.objects.all(), who(request))
        project = projects.filter(pk=pk).first()
        if project is None:
            raise Problem("not_found", f"There is no Label Studio project {pk}.", status=404)
        require(who(request), Action.SYNC, project.corpus_id)
        return Response(ReconciliationSerializer(project).data)
