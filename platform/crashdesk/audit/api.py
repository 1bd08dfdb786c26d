"""The audit log: filtered lists, single rows, and the whole of what a filter leaves as CSV or JSON lines."""

from datetime import UTC, datetime
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.views import APIView

from crashdesk.accounts.permissions import Action
from crashdesk.api.narrowed import who
from crashdesk.audit.exporting import FORMATS
from crashdesk.audit.models import AuditEvent
from crashdesk.audit.opening import open_events


class AuditRowSerializer(serializers.ModelSerializer[AuditEvent]):
    class Meta:
        model = AuditEvent
        fields = ["id", "at", "actor", "verb", "subject_type", "subject_id", "corpus_id", "data"]
        read_only_fields = fields


class AuditFilter(django_filters.FilterSet):  # type: ignore[misc]
    actor = django_filters.CharFilter(label="user name, or system")
    verb = django_filters.CharFilter(
        method="with_verb", label="exactly, or all that begin so with a dot at the end"
    )
    corpus = django_filters.NumberFilter(field_name="corpus_id", label="id of a corpus")
    of_site = django_filters.BooleanFilter(
        field_name="corpus_id", lookup_expr="isnull", label="of no corpus: the site's own rows, for admins"
    )
    since = django_filters.IsoDateTimeFilter(method="with_since", label="from then on")
    until = django_filters.IsoDateTimeFilter(method="with_until", label="before then")

    class Meta:
        model = AuditEvent
        fields = ["actor", "verb", "subject_type", "subject_id", "corpus", "of_site", "since", "until"]

    def with_verb(self, rows: QuerySet[AuditEvent], name: str, value: str) -> QuerySet[AuditEvent]:
        return rows.filter(verb__startswith=value) if value.endswith(".") else rows.filter(verb=value)

    def with_since(self, rows: QuerySet[AuditEvent], name: str, value: datetime) -> QuerySet[AuditEvent]:
        return rows.filter(at__gte=_utc(value))

    def with_until(self, rows: QuerySet[AuditEvent], name: str, value: datetime) -> QuerySet[AuditEvent]:
        return rows.filter(at__lt=_utc(value))


def _utc(moment: datetime) -> datetime:
    """PostgreSQL refuses offsets beyond 16 hours, which Python takes. Beyond what Python can tell: its bounds."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return moment.replace(tzinfo=UTC)


class AuditLogViewSet(viewsets.ReadOnlyModelViewSet[AuditEvent]):
    queryset = AuditEvent.objects.order_by("-id")
    serializer_class = AuditRowSerializer
    filterset_class = AuditFilter
    lookup_value_regex = r"\d+"
    needs = {"list": Action.AUDIT_LOG, "retrieve": Action.AUDIT_LOG}

    def get_queryset(self) -> QuerySet[AuditEvent]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return open_events(who(self.request), Action.AUDIT_LOG).order_by("-id")


_FILTERS = [
    OpenApiParameter(name, kind, description=str(AuditFilter.base_filters[name].label or "exactly"))
    for name, kind in {
        "actor": OpenApiTypes.STR, "verb": OpenApiTypes.STR, "subject_type": OpenApiTypes.STR,
        "subject_id": OpenApiTypes.INT, "corpus": OpenApiTypes.INT, "of_site": OpenApiTypes.BOOL,
        "since": OpenApiTypes.DATETIME, "until": OpenApiTypes.DATETIME,
    }.items()
]  # fmt: skip


class _Download(APIView):
    """Everything that a filter leaves, oldest first, written while it is read."""

    needs = {"get": Action.AUDIT_LOG}
    format = ""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A download answers whatever the client says it accepts."""
        return super().perform_content_negotiation(request, force=True)

    def answer(self, request: Request) -> StreamingHttpResponse:
        """Refused (400) where a filter makes no sense."""
        rows = open_events(who(request), Action.AUDIT_LOG)
        filters = AuditFilter(request.query_params, queryset=rows)
        if not filters.is_valid():
            raise serializers.ValidationError(filters.errors)
        lines, content_type = FORMATS[self.format]
        response = StreamingHttpResponse(lines(filters.qs.order_by("id")), content_type=content_type)
        response["Content-Disposition"] = f'attachment; filename="audit-log.{self.format}"'
        return response


class AuditCsvView(_Download):
    format = "csv"

    @extend_schema(
        operation_id="audit_log_csv", parameters=_FILTERS,
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The rows as CSV, oldest first."""
        return self.answer(request)


class AuditLinesView(_Download):
    format = "jsonl"

    @extend_schema(
        operation_id="audit_log_jsonl", parameters=_FILTERS,
        responses={(200, "application/jsonl"): OpenApiResponse(OpenApiTypes.STR)},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The rows as JSON, one a line, oldest first."""
        return self.answer(request)
