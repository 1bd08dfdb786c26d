"""How far people agree, as JSON and as a table."""

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.quality.agreement import Report, report
from annotations.quality.serializers import AgreementQuerySerializer, AgreementSerializer
from annotations.quality.table import lines
from crashdesk.accounts.permissions import Action
from crashdesk.api.narrowed import who


def _report(request: Request) -> Report:
    query = AgreementQuerySerializer(data=request.query_params, context={"by": who(request)})
    query.is_valid(raise_exception=True)
    return report(query.asked, period=query.validated_data["period"])


class AgreementView(APIView):
    needs = {"get": Action.EXPORT}

    @extend_schema(
        operation_id="agreement", parameters=[AgreementQuerySerializer], responses=AgreementSerializer
    )
    def get(self, request: Request) -> Response:
        """Compare all reviews of one case by different people, pair by pair."""
        return Response(AgreementSerializer(_report(request)).data)


class AgreementTableView(APIView):
    needs = {"get": Action.EXPORT}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A download answers whatever the client says it accepts."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        operation_id="agreement_table", parameters=[AgreementQuerySerializer],
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The same report as CSV, one line for every number."""
        made = _report(request)
        response = StreamingHttpResponse(lines(made), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="agreement.csv"'
        return response
