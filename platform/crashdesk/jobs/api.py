"""Jobs: list, detail, cancel, retry."""

from typing import cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.narrowed import who
from crashdesk.jobs import services
from crashdesk.jobs.models import Job
from crashdesk.jobs.opening import open_jobs


class JobSerializer(serializers.ModelSerializer[Job]):
    class Meta:
        model = Job
        fields = [
            "id", "kind", "queue", "args", "group", "state", "worker", "attempts", "cancel_requested",
            "progress_done", "progress_total", "message", "result", "error", "created_at", "started_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


class JobViewSet(viewsets.ReadOnlyModelViewSet[Job]):
    queryset = Job.objects.all()
    serializer_class = JobSerializer
    filterset_fields = ["kind", "state", "queue", "group"]
    needs = {"cancel": Action.CANCEL, "retry": Action.CANCEL}

    def get_queryset(self) -> QuerySet[Job]:
        jobs = super().get_queryset()
        return jobs if getattr(self, "swagger_fake_view", False) else open_jobs(jobs, who(self.request))

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop the job at its next checkpoint."""
        job = services.cancel(self.get_object().pk, by=cast(User, request.user))
        return Response(JobSerializer(job).data)

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Queue a failed or cancelled job again."""
        job = services.retry(self.get_object().pk, by=cast(User, request.user))
        return Response(JobSerializer(job).data)
