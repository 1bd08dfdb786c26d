"""Telling of activity, and the effort that comes of it as JSON and as a table."""

from typing import Any, cast

from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import Case
from annotations.corpora.access import narrow
from annotations.effort.ledger import Asked
from annotations.effort.models import Place
from annotations.effort.report import Report, report
from annotations.effort.serializers import EffortQuerySerializer, EffortSerializer
from annotations.effort.services import COUNTS, MOST_MOMENTS, note_activity
from annotations.effort.signing_in import OpenToLabelStudio, PlainJSONParser, TicketAuthentication
from annotations.effort.table import lines
from annotations.effort.tickets import Ticket, give, renewed
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action

MOST_COUNT = 100_000
MOST_MS = 2**48


class ActivitySerializer(serializers.Serializer[None]):
    """Moments at which somebody did something at a case, by the browser's own clock."""

    ticket = serializers.CharField(required=False, help_text="stands in for a session")
    case = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    batch = serializers.UUIDField(help_text="a batch sent twice counts once")
    place = serializers.ChoiceField(choices=Place.choices)
    now = serializers.IntegerField(
        min_value=0, max_value=MOST_MS, help_text="the browser's clock on sending, ms since 1970"
    )
    at = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=MOST_MS), min_length=1, max_length=MOST_MOMENTS,
        help_text="the moments, ms since 1970 by the same clock",
    )  # fmt: skip
    pointer = serializers.IntegerField(min_value=0, max_value=MOST_COUNT, default=0)
    keys = serializers.IntegerField(min_value=0, max_value=MOST_COUNT, default=0)
    typed = serializers.IntegerField(min_value=0, max_value=MOST_COUNT, default=0)
    player = serializers.IntegerField(min_value=0, max_value=MOST_COUNT, default=0)


class ActivityKeptSerializer(serializers.Serializer[None]):
    kept = serializers.IntegerField(help_text="moments that were new")
    ticket = serializers.CharField(
        allow_null=True,
        help_text="for the next batch; null once the working day is over, or without a ticket",
    )


class TicketSerializer(serializers.Serializer[None]):
    ticket = serializers.CharField()


class ActivityView(OpenToLabelStudio, APIView):
    needs = {"post": Action.REVIEW}
    authentication_classes = [TicketAuthentication, TokenAuthentication, SessionAuthentication]
    parser_classes = [JSONParser, PlainJSONParser]

    @extend_schema(
        operation_id="activity", request=ActivitySerializer, responses=ActivityKeptSerializer,
        auth=cast(Any, [{"tokenAuth": []}, {"cookieAuth": []}, {}]),
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Keep when somebody did something at a case. By session, API token, or a ticket in the body."""
        given = ActivitySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        told: dict[str, Any] = given.validated_data
        person = cast(User, request.user)
        case = get_object_or_404(narrow(Case.objects.all(), person), pk=told["case"])
        kept = note_activity(
            case=case, by=person, batch=told["batch"], place=Place(told["place"]), moments_ms=told["at"],
            browser_now_ms=told["now"], counts={name: told[name] for name in COUNTS},
        )  # fmt: skip
        ticket = renewed(request.auth) if isinstance(request.auth, Ticket) else None
        return Response({"kept": kept, "ticket": ticket})


class TicketView(OpenToLabelStudio, APIView):
    needs = {"get": Action.REVIEW}

    @extend_schema(operation_id="activity_ticket", responses=TicketSerializer)
    def get(self, request: Request) -> Response:
        """A ticket for telling of the signed-in person's activity; good for an hour."""
        response = Response({"ticket": give(cast(User, request.user))})
        response["Cache-Control"] = "no-store"
        return response


def _asked(request: Request) -> tuple[Asked, str]:
    query = EffortQuerySerializer(data=request.query_params, context={"by": request.user})
    query.is_valid(raise_exception=True)
    return query.asked, query.validated_data["period"]


class EffortView(APIView):
    needs = {"get": Action.EXPORT}

    @extend_schema(operation_id="effort", parameters=[EffortQuerySerializer], responses=EffortSerializer)
    def get(self, request: Request) -> Response:
        """How long people worked and what they changed, and what drafts save against cases without them."""
        asked, period = _asked(request)
        made: Report = report(asked, period=period)
        return Response(EffortSerializer(made).data)


class EffortTableView(APIView):
    needs = {"get": Action.EXPORT}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """A download answers whatever the client says it accepts."""
        return super().perform_content_negotiation(request, force=True)

    @extend_schema(
        operation_id="effort_table", parameters=[EffortQuerySerializer],
        responses={(200, "text/csv"): OpenApiResponse(OpenApiTypes.STR)},
    )  # fmt: skip
    def get(self, request: Request) -> StreamingHttpResponse:
        """The ledger as CSV, one line for every review."""
        asked, _ = _asked(request)
        response = StreamingHttpResponse(lines(asked), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="effort.csv"'
        return response
