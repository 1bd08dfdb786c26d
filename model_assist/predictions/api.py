"""Prediction runs: list, dry run, start, progress, cases, pause, resume, cancel, retry; and one case at once."""

from typing import Any, cast

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotations.cases.models import Case
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may_in
from crashdesk.accounts.scope import narrow
from crashdesk.api.errors import Problem
from crashdesk.api.narrowed import OpenRows, who
from model_assist.predictions import control, progress, run_cases, services
from model_assist.predictions.choosing import Wish, wish
from model_assist.predictions.estimate import estimate
from model_assist.predictions.models import PredictionRun
from model_assist.predictions.serializers import (
    EstimateSerializer,
    PredictionRunSerializer,
    PredictNowSerializer,
    RetrySerializer,
    RunCaseSerializer,
    RunProgressSerializer,
    WishSerializer,
)


def wish_of(data: Any, by: User) -> Wish:
    """What somebody's request body asks for. ValidationError or Problem when it is not understood, and where they may
    not do it in that corpus."""
    given = WishSerializer(data=data, context={"by": by})
    given.is_valid(raise_exception=True)
    return wish(**given.validated_data)


class PredictionRunViewSet(OpenRows, mixins.CreateModelMixin, viewsets.ReadOnlyModelViewSet[PredictionRun]):
    queryset = PredictionRun.objects.all()
    serializer_class = PredictionRunSerializer
    filterset_fields = ["corpus", "guideline", "model_version", "priority"]
    lookup_value_regex = r"\d+"
    needs = {
        "create": Action.PREDICT, "estimate": Action.PREDICT, "pause": Action.CANCEL, "resume": Action.PREDICT,
        "cancel": Action.CANCEL, "retry_failed": Action.PREDICT,
    }  # fmt: skip

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Runs, newest first, each with its cases by state."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        context = {**self.get_serializer_context(), "counts": progress.counts_of(page)}
        return self.get_paginated_response(PredictionRunSerializer(page, many=True, context=context).data)

    @extend_schema(request=WishSerializer, responses={202: PredictionRunSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Let the model draft answers for the cases that are chosen now; those it has answered are left out."""
        run = services.start(wish_of(request.data, who(request)), by=who(request))
        return Response(PredictionRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=WishSerializer, responses=EstimateSerializer)
    @action(detail=False, methods=["post"])
    def estimate(self, request: Request) -> Response:
        """What starting this would mean: how many cases, how long, how much memory. Nothing is started."""
        return Response(EstimateSerializer(estimate(wish_of(request.data, who(request)))).data)

    @extend_schema(responses=RunProgressSerializer)
    @action(detail=True, methods=["get"], url_path="progress")
    def run_progress(self, request: Request, pk: str) -> Response:
        """How far the run is, how fast it goes, and when it would be over."""
        return Response(RunProgressSerializer(progress.progress_of(self.get_object())).data)

    @extend_schema(
        parameters=[OpenApiParameter("state", enum=run_cases.STATES, description="only cases in this state")],
        responses=RunCaseSerializer(many=True),
        filters=False,
    )
    @action(detail=True, methods=["get"])
    def cases(self, request: Request, pk: str) -> Response:
        """The run's cases, in the order in which they are worked on, each with how it ended and why."""
        state = request.query_params.get("state", "")
        if state and state not in run_cases.STATES:
            known = f"is none of {', '.join(run_cases.STATES)}"
            raise Problem("invalid", "The state is not known.", fields={"state": [known]}, status=400)
        jobs = self.paginate_queryset(cast(Any, run_cases.jobs_in(self.get_object(), state)))
        context = {"tracebacks": may_in(who(request), Action.PREDICT, self.get_object().corpus_id)}
        rows: Any = run_cases.rows_of(cast(Any, jobs))
        return self.get_paginated_response(RunCaseSerializer(rows, many=True, context=context).data)

    @extend_schema(request=None, responses=PredictionRunSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Hold the waiting cases; those at work go on to their end."""
        run = self.get_object()
        control.pause_run(run=run, by=cast(User, request.user))
        return Response(PredictionRunSerializer(run).data)

    @extend_schema(request=None, responses=PredictionRunSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let a held run go on."""
        run = self.get_object()
        control.resume_run(run=run, by=cast(User, request.user))
        return Response(PredictionRunSerializer(run).data)

    @extend_schema(request=None, responses=PredictionRunSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop the run; answers already written stay. `retry-failed` takes it up again."""
        run = self.get_object()
        control.cancel_run(run=run, by=cast(User, request.user))
        return Response(PredictionRunSerializer(run).data)

    @extend_schema(request=RetrySerializer, responses=PredictionRunSerializer)
    @action(detail=True, methods=["post"], url_path="retry-failed")
    def retry_failed(self, request: Request, pk: str) -> Response:
        """Give the failed and cancelled cases of the run another try."""
        given = RetrySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        run = self.get_object()
        control.retry_run(run=run, by=cast(User, request.user), case_ids=given.validated_data.get("case_ids"))
        return Response(PredictionRunSerializer(run).data)


class PredictNowView(APIView):
    needs = {"post": Action.PREDICT}

    @extend_schema(
        operation_id="cases_predict", request=PredictNowSerializer, responses={202: PredictionRunSerializer}
    )
    def post(self, request: Request, pk: int) -> Response:
        """Let the model answer this case before all others: a person waits."""
        given = PredictNowSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        cases = narrow(Case.objects.select_related("corpus", "guideline"), who(request))
        case = get_object_or_404(cases, pk=pk)
        self.check_object_permissions(request, case)
        run = services.predict_now(case=case, by=cast(User, request.user), **given.validated_data)
        return Response(PredictionRunSerializer(run).data, status=status.HTTP_202_ACCEPTED)
