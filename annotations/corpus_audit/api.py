"""Audits of corpora: run one, read it, compare it, and say what is known of its findings."""

from typing import Any, cast

from django.db.models import OuterRef, QuerySet, Subquery
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.cases.models import Case
from annotations.corpora.models import Video
from annotations.corpus_audit import services
from annotations.corpus_audit.diffing import diff
from annotations.corpus_audit.models import CorpusAudit, FindingAcknowledgement
from annotations.corpus_audit.serializers import (
    AcknowledgementSerializer,
    AcknowledgeSerializer,
    AuditDiffSerializer,
    AuditedClipSerializer,
    CorpusAuditDetailSerializer,
    CorpusAuditSerializer,
    NewAuditSerializer,
)
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows, who
from crashdesk.jobs.api import JobSerializer

_FINDING = [
    OpenApiParameter("code", OpenApiTypes.STR, required=True, description="of the finding"),
    OpenApiParameter("subject", OpenApiTypes.STR, description="of the finding; empty where it has none"),
]


class CorpusAuditViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[CorpusAudit]):
    queryset = CorpusAudit.objects.select_related("corpus", "created_by")
    filterset_fields = ["corpus"]
    lookup_value_regex = r"\d+"
    needs = {"create": Action.IMPORT, "acknowledge": Action.FREEZE}

    def get_serializer_class(self) -> type[CorpusAuditSerializer]:
        return CorpusAuditSerializer if self.action == "list" else CorpusAuditDetailSerializer

    @extend_schema(request=NewAuditSerializer, responses={202: JobSerializer})
    def create(self, request: Request) -> Response:
        """Audit a corpus; the job's result names the audit. One that waits already is answered with."""
        wanted = NewAuditSerializer(data=request.data, context={"request": request})
        wanted.is_valid(raise_exception=True)
        job = services.enqueue_audit(wanted.validated_data["corpus"].pk, by=cast(User, request.user))
        return Response(JobSerializer(job).data, status=202)

    @extend_schema(
        parameters=[OpenApiParameter("against", OpenApiTypes.INT, description="default: the audit before")],
        responses=AuditDiffSerializer,
    )
    @action(detail=True, filterset_fields=[])
    def diff(self, request: Request, pk: str) -> Response:
        """Which findings are new, gone or changed since another audit of the corpus, by default the one before."""
        audit = self.get_object()
        against = self._against(audit, request.query_params.get("against", ""))
        found = diff(against.report, audit.report)
        shown = {"against": against.pk, **vars(found)}
        return Response(AuditDiffSerializer(shown).data)

    def _against(self, audit: CorpusAudit, wanted: str) -> CorpusAudit:
        if not wanted:
            found = services.before(audit)
            if found is None:
                raise Problem("no_earlier_audit", f"{audit} is the first of its corpus.", status=404)
            return found
        number = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 19 else 0
        found = CorpusAudit.objects.filter(pk=number, corpus=audit.corpus_id).first()
        if found is None:
            message = f"There is no audit {wanted[:20]} of this corpus."
            raise Problem("invalid", message, fields={"against": [message]}, status=400)
        return found

    @extend_schema(parameters=_FINDING, responses=AuditedClipSerializer(many=True))
    @action(detail=True, filterset_fields=[])
    def clips(self, request: Request, pk: str) -> Response:
        """All clips of one finding, by name."""
        code, subject = (request.query_params.get(name, "").replace("\0", "") for name in ("code", "subject"))
        found = self.get_object().clips.filter(code=code, subject=subject).first()
        if found is None:
            message = f"This audit has no finding {code[:60]} {subject[:60]} that lists clips."
            raise Problem("no_such_finding", message, fields={"code": [message]}, status=404)
        newest = Case.objects.filter(video=OuterRef("pk")).order_by("-id").values("pk")[:1]
        rows: QuerySet[Video] = narrow(services.videos_of(found), who(request)).annotate(
            newest_case=Subquery(newest)
        )
        page = cast(list[Video], self.paginate_queryset(cast(Any, rows)))
        return self.get_paginated_response(AuditedClipSerializer(page, many=True).data)

    @extend_schema(request=AcknowledgeSerializer, responses={201: AcknowledgementSerializer})
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Accept a finding, as large as it is in this audit, with a reason; it stays accepted in later audits."""
        given = AcknowledgeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        made = services.acknowledge(
            audit=self.get_object(), **given.validated_data, by=cast(User, request.user)
        )
        return Response(AcknowledgementSerializer(made).data, status=201)


class AcknowledgementViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[FindingAcknowledgement]):
    queryset = FindingAcknowledgement.objects.select_related("by", "withdrawn_by")
    serializer_class = AcknowledgementSerializer
    filterset_fields = {"corpus": ["exact"], "code": ["exact"], "withdrawn_at": ["isnull"]}
    lookup_value_regex = r"\d+"
    needs = {"withdraw": Action.FREEZE}

    @extend_schema(request=None, responses=AcknowledgementSerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take an acknowledgement back: its finding is open again."""
        taken = services.withdraw(acknowledgement=self.get_object(), by=cast(User, request.user))
        return Response(AcknowledgementSerializer(taken).data)
