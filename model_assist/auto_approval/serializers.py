"""Policies as JSON, and what asks for them."""

from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotations.cases.models import Guideline
from annotations.corpora.access import OpenCorpusField
from crashdesk.accounts.permissions import may_in
from model_assist.auto_approval.errors import USUAL
from model_assist.auto_approval.models import Certificate, Evidence, Policy, PolicyDecision
from model_assist.auto_approval.services import NEEDS

_RULES_HELP = (
    'kind to {"rule": "differs" | "tiou_below" | "further_than_seconds" | "token_f1_below" | "edits_above", "value": '
    f"number}}; kinds that are left out are not judged. Default: {USUAL}"
)


class LookSerializer(serializers.Serializer[None]):
    threshold = serializers.FloatField(help_text="of the score: cases at or above it are approved")
    coverage = serializers.FloatField(help_text="share of the candidates at or above it")
    cases = serializers.IntegerField(help_text="of the sample at or above it")
    wrong = serializers.IntegerField(help_text="of these were wrong, or not settled")
    p_value = serializers.FloatField(help_text="exact, binomial, for an error rate above the tested one")
    upper_fixed = serializers.FloatField(
        help_text="Clopper-Pearson upper bound: for one look at a number of cases settled beforehand"
    )
    upper = serializers.FloatField(help_text="upper bound that holds at all times at once")
    passed = serializers.BooleanField()


class CertificateSerializer(serializers.ModelSerializer[Certificate]):
    looks = LookSerializer(many=True, read_only=True)

    class Meta:
        model = Certificate
        fields = [
            "attempt", "delta", "threshold", "looks", "tries", "sample", "unsettled", "excluded", "standing",
            "evidence_hash", "certified_at",
        ]  # fmt: skip
        read_only_fields = fields


class PolicySerializer(serializers.ModelSerializer[Policy]):
    certificate = serializers.SerializerMethodField(help_text="what its sample showed; null before that")
    started_by = serializers.CharField(source="started_by.username", allow_null=True, default=None)
    stopped_by = serializers.CharField(source="stopped_by.username", allow_null=True, default=None)
    created_by = serializers.CharField(source="created_by.username", allow_null=True, default=None)
    model_version = serializers.CharField(source="model_version.name")
    sample_seed = serializers.IntegerField(
        allow_null=True, read_only=True, help_text="null for whoever may not assign work in the corpus"
    )
    audit_seed = serializers.IntegerField(
        allow_null=True, read_only=True, help_text="null for whoever may not assign work in the corpus"
    )

    class Meta:
        model = Policy
        fields = [
            "id", "corpus", "guideline", "model_version", "version", "state", "max_error", "confidence", "certify_at",
            "error_rules", "evidence", "most_share", "sample_size", "sample_seed", "audit_share", "audit_seed",
            "most_open_audits", "patience", "calibrations", "created_at", "created_by", "drawn_at", "answered", "sure",
            "candidates", "certificate", "started_at", "started_by", "stopped_at", "stopped_by", "stop_reason",
            "stop_detail",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(CertificateSerializer(allow_null=True))
    def get_certificate(self, policy: Policy) -> dict[str, Any] | None:
        found = getattr(policy, "certificate", None)
        return None if found is None else dict(CertificateSerializer(found).data)

    def to_representation(self, policy: Policy) -> dict[str, Any]:
        """With the seeds, one could work out which cases are sampled and audited: only for those who may assign."""
        shown: dict[str, Any] = super().to_representation(policy)
        if not self._may_know(policy.corpus_id):
            shown |= {"sample_seed": None, "audit_seed": None}
        return shown

    def _may_know(self, corpus_id: int) -> bool:
        known: dict[int, bool] = cast(dict[str, Any], self.context).setdefault("may_know_seeds", {})
        if corpus_id not in known:
            known[corpus_id] = may_in(self.context["request"].user, NEEDS, corpus_id)
        return known[corpus_id]


class _Wanted(serializers.Serializer[None]):
    """The settings that a preview and a policy share."""

    corpus = OpenCorpusField(action=NEEDS)
    guideline = serializers.PrimaryKeyRelatedField(queryset=Guideline.objects.all())
    max_error = serializers.FloatField(
        help_text="at most this share of the approved cases may be wrong, e.g. 0.05"
    )
    confidence = serializers.FloatField(default=0.95)
    certify_at = serializers.FloatField(
        default=0.5, help_text="share of max_error below which errors must lie at certification"
    )
    error_rules = serializers.JSONField(required=False, help_text=_RULES_HELP)
    audit_share = serializers.FloatField(
        default=0.1, help_text="of the sure cases, people go on reviewing this share"
    )

    def validate_error_rules(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise serializers.ValidationError("an object of kinds is needed")
        return value


class PreviewPolicySerializer(_Wanted):
    pass


class NewPolicySerializer(_Wanted):
    evidence = serializers.ChoiceField(choices=Evidence.choices, default=Evidence.BLIND)
    most_share = serializers.FloatField(default=0.7)
    sample_size = serializers.IntegerField(
        min_value=1, max_value=100_000, required=False, help_text="default: what usually suffices"
    )
    most_open_audits = serializers.IntegerField(min_value=1, max_value=10_000, default=50)
    patience = serializers.IntegerField(min_value=10, max_value=10**6, default=1000)

    def validate(self, given: dict[str, Any]) -> dict[str, Any]:
        """Whoever could choose a seed could choose the sample."""
        chosen = [name for name in ("sample_seed", "audit_seed") if name in self.initial_data]
        if chosen:
            raise serializers.ValidationError(dict.fromkeys(chosen, "drawn at random; it cannot be chosen"))
        return given


class StopPolicySerializer(serializers.Serializer[None]):
    detail = serializers.CharField(default="", allow_blank=True, max_length=500, help_text="why")


class UndoPolicySerializer(serializers.Serializer[None]):
    reason = serializers.CharField(max_length=300)


class PolicyDecisionSerializer(serializers.ModelSerializer[PolicyDecision]):
    undone_by = serializers.CharField(source="undone_by.username", allow_null=True, default=None)

    class Meta:
        model = PolicyDecision
        fields = [
            "id", "case", "outcome", "reason", "score", "draw", "answers", "decided_at", "wrong", "wrong_kinds",
            "blind", "judged_at", "undone_at", "undone_by", "undo_problem",
        ]  # fmt: skip
        read_only_fields = fields


class MonitorSerializer(serializers.Serializer[dict[str, Any]]):
    audited = serializers.IntegerField(help_text="settled audit cases")
    waiting = serializers.IntegerField(help_text="audit cases that people have not settled")
    counted = serializers.IntegerField(
        help_text="cases behind the bound, those of the certification included"
    )
    wrong = serializers.IntegerField(help_text="of these")
    upper = serializers.FloatField(
        help_text="the bound that the policy is held to, and that holds at all times"
    )
    upper_fixed = serializers.FloatField(help_text="Clopper-Pearson's, for comparison")
    limit = serializers.FloatField()
    alarm = serializers.FloatField(help_text="evidence for a risen error rate")
    rings_at = serializers.FloatField()
    approved_since = serializers.IntegerField(
        help_text="cases approved since the last audited case behind the bound was settled"
    )
    warning = serializers.CharField(
        help_text="why the bound says little of what is approved now; empty where its evidence grows"
    )
    outcomes = serializers.DictField(child=serializers.IntegerField(), help_text="decisions by outcome")
    series = serializers.ListField(
        child=serializers.DictField(child=serializers.FloatField(allow_null=True)),
        help_text="after so many audited cases: rate, upper, upper_fixed",
    )
