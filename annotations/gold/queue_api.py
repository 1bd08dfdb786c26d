"""One's own queue, and what leads do with everybody's."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.corpora.models import Corpus
from annotations.gold.queue import as_seen, next_for, paused_people, queue_of
from annotations.gold.queue_board import board_of
from annotations.gold.queue_bulk import ask_to_assign
from annotations.gold.queue_serializers import (
    WHATS,
    AssignmentSerializer,
    AssignSerializer,
    BoardSerializer,
    BulkReleaseSerializer,
    CorpusOnlySerializer,
    NextAnswerSerializer,
    NextSerializer,
    QueueSerializer,
    RebalancedSerializer,
    ReleasedSerializer,
    ReleaseSerializer,
)
from annotations.reviews.assignments import release
from annotations.reviews.assignments_sharing import rebalance
from annotations.reviews.models import Assignment, Purpose, Way
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.errors import Problem, error_body
from crashdesk.api.narrowed import who
from crashdesk.jobs.api import JobSerializer


def _given(form: Any, request: Request) -> dict[str, Any]:
    given = form(data=request.data, context={"request": request})
    given.is_valid(raise_exception=True)
    found: dict[str, Any] = given.validated_data
    return found


class WorkView(APIView):
    needs = {"get": Action.REVIEW}

    @extend_schema(operation_id="work", responses=QueueSerializer)
    def get(self, request: Request) -> Response:
        """What is open for me, returned cases first, and what I finished today."""
        queue = queue_of(who(request))
        told = {
            "items": queue.items,
            "finished_today": len(queue.finished),
            "paused": [corpus.pk for corpus in queue.paused],
        }
        return Response(QueueSerializer(told).data)


class NextView(APIView):
    needs = {"post": Action.REVIEW}

    @extend_schema(operation_id="work_next", request=NextSerializer, responses=NextAnswerSerializer)
    def post(self, request: Request) -> Response:
        """Reserve the next case for me, or tell which one I have. `what`: answer, look_over or decide."""
        asked = _given(NextSerializer, request)
        found = next_for(who(request), corpus=asked["corpus"], purposes=WHATS[asked["what"]])
        why = "" if found else "paused" if queue_of(who(request)).paused else "nothing_waits"
        return Response(NextAnswerSerializer({"item": as_seen(found) if found else None, "why": why}).data)


class WorkReleaseView(APIView):
    needs = {"post": Action.REVIEW}

    @extend_schema(operation_id="work_release", request=ReleaseSerializer, responses={204: None})
    def post(self, request: Request, pk: int) -> Response:
        """Give one of my cases back, so that others can take it."""
        mine = get_object_or_404(Assignment, pk=pk, person=who(request))
        release(assignment=mine, by=who(request), reason=_given(ReleaseSerializer, request)["reason"])
        return Response(status=204)


class AssignmentViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Assignment]
):
    """Who was asked for what. For leads: it tells which cases are gold."""

    queryset = Assignment.objects.select_related("person", "assigned_by").order_by("id")
    serializer_class = AssignmentSerializer
    lookup_value_regex = r"\d+"
    needs = {"list": Action.ASSIGN, "retrieve": Action.ASSIGN, "create": Action.ASSIGN}
    filterset_fields = {
        "case": ["exact"],
        "case__corpus": ["exact"],
        "person": ["exact"],
        "person__username": ["exact"],
        "purpose": ["exact", "in"],
        "state": ["exact"],
        "way": ["exact"],
    }

    def get_queryset(self) -> QuerySet[Assignment]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return narrow(rows, who(self.request), "case__corpus", action=Action.ASSIGN)

    @extend_schema(
        operation_id="assignments_assign", request=AssignSerializer, responses={202: JobSerializer}
    )
    def create(self, request: Request) -> Response:
        """Ask one person, or several in turn or by skill and load, as a job.

        Its result says how many were `given`, and of what is `left` the cases with a code each.
        """
        asked = _given(AssignSerializer, request)
        job = ask_to_assign(
            corpus=asked["corpus"], way=Way(asked["way"]), by=who(request), purpose=Purpose(asked["purpose"]),
            cases=asked["cases"], source=asked["from_source"], words=asked["q"], limit=asked["limit"],
            people=asked.get("people", []), most=asked["most"], minutes=asked["minutes"],
        )  # fmt: skip
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class BulkReleaseView(APIView):
    needs = {"post": Action.ASSIGN}

    @extend_schema(
        operation_id="assignments_release", request=BulkReleaseSerializer, responses=ReleasedSerializer
    )
    def post(self, request: Request) -> Response:
        """Take cases from whoever has them, so that others can have them."""
        asked, by = _given(BulkReleaseSerializer, request), who(request)
        rows = narrow(Assignment.objects.all(), by, "case__corpus", action=Action.ASSIGN)
        found = rows.filter(pk__in=asked["ids"]).select_related("case", "person").order_by("id")
        gone: Any = error_body("not_found", "There is no such assignment.")
        missing = sorted(set(asked["ids"]) - {one.pk for one in found})
        left = [{"assignment": pk, "case": None, "error": gone["error"]} for pk in missing]
        released = 0
        with transaction.atomic():
            for one in found:
                try:
                    release(assignment=one, by=by, reason=asked["reason"])
                except Problem as problem:
                    told: Any = error_body(problem.code, problem.message, problem.fields)
                    left.append({"assignment": one.pk, "case": one.case_id, "error": told["error"]})
                else:
                    released += 1
        return Response(ReleasedSerializer({"released": released, "left": left}).data)


class RebalanceView(APIView):
    needs = {"post": Action.ASSIGN}

    @extend_schema(
        operation_id="assignments_rebalance", request=CorpusOnlySerializer, responses=RebalancedSerializer
    )
    def post(self, request: Request) -> Response:
        """Even out who has how many in a corpus, by moving what was not opened; paused people give theirs away."""
        corpus = _given(CorpusOnlySerializer, request)["corpus"]
        moved = rebalance(corpus=corpus, by=who(request), without=paused_people(corpus))
        return Response(RebalancedSerializer({"moved": moved}).data)


class BoardView(APIView):
    needs = {"get": Action.ASSIGN}

    @extend_schema(operation_id="board", responses=BoardSerializer)
    def get(self, request: Request, pk: int) -> Response:
        """Who has how much of a corpus, for how long, how good they are, and how many cases lack somebody."""
        corpus = get_object_or_404(
            narrow(Corpus.objects.all(), who(request), "pk", action=Action.ASSIGN), pk=pk
        )
        return Response(BoardSerializer(board_of(corpus)).data)
