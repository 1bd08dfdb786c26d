"""Disputes and their decisions. Who answered a case sees nothing of its dispute until it is closed."""

from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from annotations.cases.kinds import AnswerState, Kind
from annotations.cases.rules import Said
from annotations.reviews import adjudication
from annotations.reviews.api import CaseStatusSerializer
from annotations.reviews.decisions import finding_data
from annotations.reviews.disputes import LIVE, disputed_kinds
from annotations.reviews.models import Choice, Dispute, Ruling
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.narrowed import OpenRows, who

DECIDABLE = (Choice.FIRST, Choice.SECOND, Choice.OWN)


class RulingSerializer(serializers.ModelSerializer[Ruling]):
    class Meta:
        model = Ruling
        fields = ["kind", "choice", "answer", "decided_at"]
        read_only_fields = fields


class NamesSerializer(serializers.Serializer[Any]):
    first = serializers.CharField()
    second = serializers.CharField()


class DisputeSerializer(serializers.ModelSerializer[Dispute]):
    corpus = serializers.IntegerField(source="case.corpus_id")
    disputed = serializers.SerializerMethodField(help_text="the kinds that are too far apart")
    adjudicator = serializers.CharField(source="assignment.person.username", allow_null=True, default=None)
    free = serializers.SerializerMethodField(help_text="nobody is deciding it")
    names = serializers.SerializerMethodField(
        help_text="who said what: empty until its adjudicator asks, or the dispute is closed"
    )

    class Meta:
        model = Dispute
        fields = [
            "id", "case", "corpus", "plan", "state", "disputed", "adjudicator", "free", "names", "opened_at",
            "closed_at", "closed_why",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_disputed(self, dispute: Dispute) -> list[str]:
        return disputed_kinds(dispute.compared)

    def get_free(self, dispute: Dispute) -> bool:
        return adjudication.is_free(dispute)

    @extend_schema_field(NamesSerializer(allow_null=True))
    def get_names(self, dispute: Dispute) -> dict[str, str] | None:
        return names_for(dispute, who(self.context["request"]))


class DisputeDetailSerializer(DisputeSerializer):
    compared = serializers.DictField(
        help_text="by kind: agreement, threshold, disputed, and what the first and the second said"
    )
    rulings = RulingSerializer(many=True)
    undecided = serializers.SerializerMethodField()
    findings = serializers.SerializerMethodField(
        help_text="rules that the answers chosen so far break; those with `blocks` prevent approval"
    )

    class Meta(DisputeSerializer.Meta):
        fields = [*DisputeSerializer.Meta.fields, "compared", "rulings", "undecided", "findings"]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_undecided(self, dispute: Dispute) -> list[str]:
        return adjudication.undecided(dispute)

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_findings(self, dispute: Dispute) -> list[dict[str, Any]]:
        return [finding_data(finding) for finding in adjudication.findings(dispute)]


def names_for(dispute: Dispute, asks: User) -> dict[str, str] | None:
    """Who said what, as far as this person may know it now."""
    claimed = dispute.assignment is not None and dispute.assignment.person_id == asks.pk
    if dispute.state in LIVE and not (claimed and dispute.names_shown_at is not None):
        return None
    return {"first": dispute.first.reviewer.username, "second": dispute.second.reviewer.username}


def visible(person: User) -> QuerySet[Dispute]:
    """The disputes this person may look at: of corpora where they may decide, and of their own answers closed ones."""
    rows = Dispute.objects.select_related(
        "case__corpus",
        "case__video__media",
        "assignment__person",
        "first__reviewer",
        "second__reviewer",
        "plan",
    ).defer("case__video__media__time_map")
    own = Q(first__reviewer=person) | Q(second__reviewer=person)
    return narrow(rows, person, "case__corpus", action=Action.ADJUDICATE).exclude(own, state__in=LIVE)


class ClaimSerializer(serializers.Serializer[None]):
    names = serializers.BooleanField(default=False, help_text="see who said what; that you did is kept")


class RuleSerializer(serializers.Serializer[None]):
    kind = serializers.ChoiceField(choices=Kind.choices)
    choice = serializers.ChoiceField(choices=[(one.value, one.label) for one in DECIDABLE])
    state = serializers.ChoiceField(choices=AnswerState.choices, default=AnswerState.VALUED)
    value = serializers.DictField(
        required=False, allow_null=True, help_text="with `own`: in its kind's shape"
    )


class GiveBackSerializer(serializers.Serializer[None]):
    reason = serializers.CharField(default="", allow_blank=True, max_length=300)


class DisputeViewSet(OpenRows, viewsets.ReadOnlyModelViewSet[Dispute]):
    queryset = Dispute.objects.all()
    corpus_path = "case__corpus"
    filterset_fields = {"case": ["exact"], "case__corpus": ["exact"], "state": ["exact", "in"]}
    lookup_value_regex = r"\d+"
    needs = dict.fromkeys(
        ["list", "retrieve", "claim", "names", "rule", "approve", "give_back"], Action.ADJUDICATE
    )

    def get_queryset(self) -> QuerySet[Dispute]:
        if getattr(self, "swagger_fake_view", False):
            return Dispute.objects.all()
        return visible(who(self.request)).order_by("id")

    def get_serializer_class(self) -> type[DisputeSerializer]:
        return DisputeSerializer if self.action == "list" else DisputeDetailSerializer

    def _shown(self, pk: int) -> Response:
        dispute = self.get_queryset().get(pk=pk)
        return Response(DisputeDetailSerializer(dispute, context=self.get_serializer_context()).data)

    @extend_schema(request=ClaimSerializer, responses=DisputeDetailSerializer)
    @action(detail=True, methods=["post"])
    def claim(self, request: Request, pk: str) -> Response:
        """Take the dispute to decide it."""
        given = ClaimSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        claimed = adjudication.claim(
            dispute=self.get_object(), by=who(request), names=given.validated_data["names"]
        )
        return self._shown(claimed.pk)

    @extend_schema(request=None, responses=DisputeDetailSerializer)
    @action(detail=True, methods=["post"])
    def names(self, request: Request, pk: str) -> Response:
        """See who said what from now on."""
        return self._shown(adjudication.show_names(dispute=self.get_object(), by=who(request)).pk)

    @extend_schema(request=RuleSerializer, responses=DisputeDetailSerializer)
    @action(detail=True, methods=["post"])
    def rule(self, request: Request, pk: str) -> Response:
        """Decide one task; may be repeated until the case is approved."""
        given = RuleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        fields, dispute = given.validated_data, self.get_object()
        own = fields["choice"] == Choice.OWN
        adjudication.rule(
            dispute=dispute, kind=fields["kind"], choice=fields["choice"], by=who(request),
            said=Said(fields["state"], fields.get("value")) if own else None,
        )  # fmt: skip
        return self._shown(dispute.pk)

    @extend_schema(request=None, responses=CaseStatusSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Let the decided answers count."""
        case = adjudication.approve_decided(dispute=self.get_object(), by=who(request))
        return Response(CaseStatusSerializer(case).data)

    @extend_schema(request=GiveBackSerializer, responses=DisputeDetailSerializer)
    @action(detail=True, methods=["post"], url_path="give-back")
    def give_back(self, request: Request, pk: str) -> Response:
        """Leave it to another adjudicator."""
        given = GiveBackSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        reason = given.validated_data["reason"]
        return self._shown(
            adjudication.give_back(dispute=self.get_object(), by=who(request), reason=reason).pk
        )
