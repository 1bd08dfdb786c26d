"""Gold cases, scores and pauses: for leads alone, as whoever is measured must not know by which cases."""

from typing import Any

from django.db.models import Model, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.cases.models import Case
from annotations.corpora.models import Corpus
from annotations.gold import pauses, services
from annotations.gold.models import GoldCase, GoldScore, Pause
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import OpenRows, who


class OfLeads(OpenRows):
    """Only rows of corpora in which the person assigns work."""

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        request: Any = self.request  # type: ignore[attr-defined]
        return narrow(rows, who(request), self.corpus_path, action=Action.ASSIGN)


class GoldCaseSerializer(serializers.ModelSerializer[GoldCase]):
    tolerances = serializers.DictField(child=serializers.FloatField())
    marked_by = serializers.CharField(source="marked_by.username")
    unmarked_by = serializers.CharField(source="unmarked_by.username", allow_null=True, default=None)

    class Meta:
        model = GoldCase
        fields = [
            "id", "case", "tolerances", "marked_at", "marked_by", "unmarked_at", "unmarked_by", "voided", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class TolerancesSerializer(serializers.Serializer[None]):
    tolerances = serializers.DictField(
        help_text="by kind: microseconds for times (each edge), share of words for texts; may be empty"
    )


class MarkSerializer(serializers.Serializer[None]):
    case = serializers.IntegerField()
    tolerances = serializers.DictField(required=False, default=dict)


class UnmarkSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(default="", allow_blank=True, max_length=300)
    void = serializers.BooleanField(default=False, help_text="its key was wrong: its scores count no longer")


class GoldScoreSerializer(serializers.ModelSerializer[GoldScore]):
    case = serializers.IntegerField(source="gold.case_id")
    person = serializers.CharField(source="person.username")

    class Meta:
        model = GoldScore
        fields = [
            "id",
            "gold",
            "case",
            "review",
            "person",
            "score",
            "by_kind",
            "counts",
            "answered_at",
            "scored_at",
        ]
        read_only_fields = fields


class PauseSerializer(serializers.ModelSerializer[Pause]):
    person = serializers.CharField(source="person.username")
    paused_by = serializers.CharField(source="paused_by.username", allow_null=True, default=None)
    lifted_by = serializers.CharField(source="lifted_by.username", allow_null=True, default=None)
    scores = serializers.ListField(child=serializers.IntegerField())

    class Meta:
        model = Pause
        fields = [
            "id", "person", "corpus", "plan", "mean", "scores", "reason", "paused_at", "paused_by", "lifted_at",
            "lifted_by", "lift_reason",
        ]  # fmt: skip
        read_only_fields = fields


class NewPauseSerializer(serializers.Serializer[None]):
    person = serializers.CharField(help_text="user name")
    corpus = serializers.IntegerField()
    reason = serializers.CharField(max_length=300)


class LiftSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=300)


def _there(rows: QuerySet[Any], request: Request, path: str, pk: int) -> Any:
    """A row of a corpus that is open to whoever asks. Raises Http404."""
    found: Model = get_object_or_404(narrow(rows, who(request), path), pk=pk)
    return found


class GoldCaseViewSet(
    OfLeads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[GoldCase]
):
    queryset = GoldCase.objects.select_related("case", "marked_by", "unmarked_by").order_by("-id")
    serializer_class = GoldCaseSerializer
    corpus_path = "case__corpus"
    filterset_fields = {"case": ["exact"], "case__corpus": ["exact"], "unmarked_at": ["isnull"]}
    lookup_value_regex = r"\d+"
    needs = dict.fromkeys(["list", "retrieve", "create", "unmark", "tolerances"], Action.ASSIGN)

    @extend_schema(request=MarkSerializer, responses={201: GoldCaseSerializer})
    def create(self, request: Request) -> Response:
        """Measure people by this approved case from now on."""
        given = MarkSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        case = _there(Case.objects.all(), request, "corpus", given.validated_data["case"])
        gold = services.mark(case=case, by=who(request), tolerances=given.validated_data["tolerances"])
        return Response(GoldCaseSerializer(gold).data, status=201)

    @extend_schema(request=UnmarkSerializer, responses=GoldCaseSerializer)
    @action(detail=True, methods=["post"])
    def unmark(self, request: Request, pk: str) -> Response:
        """Ask nobody for this case any more."""
        given = UnmarkSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        gold = services.unmark(gold=self.get_object(), by=who(request), **given.validated_data)
        return Response(GoldCaseSerializer(gold).data)

    @extend_schema(request=TolerancesSerializer, responses=GoldCaseSerializer)
    @action(detail=True, methods=["post"])
    def tolerances(self, request: Request, pk: str) -> Response:
        """How far answers may be off and still be right; earlier answers are scored again."""
        given = TolerancesSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        gold = services.set_tolerances(gold=self.get_object(), by=who(request), **given.validated_data)
        return Response(GoldCaseSerializer(gold).data)


class GoldScoreViewSet(OfLeads, viewsets.ReadOnlyModelViewSet[GoldScore]):
    queryset = GoldScore.objects.select_related("gold__case", "person").order_by("-id")
    serializer_class = GoldScoreSerializer
    corpus_path = "gold__case__corpus"
    filterset_fields = {
        "person__username": ["exact"],
        "gold": ["exact"],
        "gold__case__corpus": ["exact"],
        "counts": ["exact"],
    }
    lookup_value_regex = r"\d+"
    needs = {"list": Action.ASSIGN, "retrieve": Action.ASSIGN}


class PauseViewSet(OfLeads, mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Pause]):
    queryset = Pause.objects.select_related("person", "paused_by", "lifted_by").order_by("-id")
    serializer_class = PauseSerializer
    filterset_fields = {"corpus": ["exact"], "person__username": ["exact"], "lifted_at": ["isnull"]}
    lookup_value_regex = r"\d+"
    needs = dict.fromkeys(["list", "retrieve", "create", "lift"], Action.ASSIGN)

    @extend_schema(request=NewPauseSerializer, responses={201: PauseSerializer})
    def create(self, request: Request) -> Response:
        """Give somebody nothing new in a corpus until a lead lifts it."""
        given = NewPauseSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields = given.validated_data
        corpus = _there(Corpus.objects.all(), request, "pk", fields["corpus"])
        person = get_object_or_404(User, username=fields["person"])
        made = pauses.pause(person=person, corpus=corpus, reason=fields["reason"], by=who(request))
        return Response(PauseSerializer(made).data, status=201)

    @extend_schema(request=LiftSerializer, responses=PauseSerializer)
    @action(detail=True, methods=["post"])
    def lift(self, request: Request, pk: str) -> Response:
        """Let the person go on; they are judged by what they answer from now on."""
        given = LiftSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        lifted = pauses.lift(pause=self.get_object(), reason=given.validated_data["reason"], by=who(request))
        return Response(PauseSerializer(lifted).data)
