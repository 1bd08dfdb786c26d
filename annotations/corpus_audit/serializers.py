"""Audits, findings and acknowledgements as the API shows them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotations.corpora.access import OpenCorpusField
from annotations.corpora.models import Severity, Video
from annotations.corpus_audit import services
from annotations.corpus_audit.findings import SEVERITIES
from annotations.corpus_audit.models import CorpusAudit, FindingAcknowledgement
from crashdesk.accounts.permissions import Action


class NewAuditSerializer(serializers.Serializer[None]):
    corpus = OpenCorpusField(action=Action.IMPORT)


class CorpusAuditSerializer(serializers.ModelSerializer[CorpusAudit]):
    corpus_name = serializers.CharField(source="corpus.name", read_only=True)
    created_by = serializers.CharField(source="created_by.username", default="", read_only=True)
    severities = serializers.SerializerMethodField(help_text="severity to number of findings")

    class Meta:
        model = CorpusAudit
        fields = [
            "id", "corpus", "corpus_name", "inputs_hash", "code_version", "severities", "created_at", "created_by",
            "job_id",
        ]  # fmt: skip
        read_only_fields = fields

    def get_severities(self, audit: CorpusAudit) -> dict[str, int]:
        found = [finding["severity"] for finding in audit.report["findings"]]
        return {severity: found.count(severity) for severity in reversed(SEVERITIES)}


class AcknowledgementSerializer(serializers.ModelSerializer[FindingAcknowledgement]):
    by = serializers.CharField(source="by.username", read_only=True)
    withdrawn_by = serializers.CharField(source="withdrawn_by.username", default="", read_only=True)

    class Meta:
        model = FindingAcknowledgement
        fields = [
            "id", "corpus", "code", "subject", "count", "severity", "reason", "at", "by", "withdrawn_at",
            "withdrawn_by",
        ]  # fmt: skip
        read_only_fields = fields


class AuditExampleSerializer(serializers.Serializer[Any]):
    video = serializers.IntegerField()
    case = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()
    value = serializers.CharField()


class AuditFindingSerializer(serializers.Serializer[Any]):
    """`count` of `total` are concerned; `data` depends on the code, see docs/audit.md."""

    code = serializers.CharField()
    subject = serializers.CharField()
    severity = serializers.ChoiceField(choices=Severity.choices)
    count = serializers.IntegerField()
    total = serializers.IntegerField()
    sentence = serializers.CharField()
    action = serializers.CharField()
    examples = AuditExampleSerializer(many=True)
    data = serializers.DictField()  # type: ignore[assignment]  # DRF takes fields out of the class
    listed = serializers.BooleanField(help_text="whether `clips` lists all clips of it")


class StandingFindingSerializer(AuditFindingSerializer):
    open = serializers.BooleanField(help_text="nobody has acknowledged it as large as it is now")
    acknowledgement = AcknowledgementSerializer(allow_null=True)


class CorpusAuditDetailSerializer(CorpusAuditSerializer):
    report = serializers.DictField(help_text="everything but the findings: counts, distributions, inputs")
    findings = serializers.SerializerMethodField()

    class Meta(CorpusAuditSerializer.Meta):
        fields = [*CorpusAuditSerializer.Meta.fields, "report", "findings"]
        read_only_fields = fields

    @extend_schema_field(StandingFindingSerializer(many=True))
    def get_findings(self, audit: CorpusAudit) -> list[dict[str, Any]]:
        return [
            {
                **standing.finding,
                "open": standing.open,
                "acknowledgement": AcknowledgementSerializer(standing.acknowledgement).data
                if standing.acknowledgement
                else None,
            }
            for standing in services.standings(audit)
        ]

    def to_representation(self, audit: CorpusAudit) -> dict[str, Any]:
        shown = super().to_representation(audit)
        shown["report"] = {name: part for name, part in audit.report.items() if name != "findings"}
        return shown


class AcknowledgeSerializer(serializers.Serializer[None]):
    code = serializers.CharField(max_length=60)
    subject = serializers.CharField(max_length=300, default="", allow_blank=True)
    reason = serializers.CharField(max_length=500)


class _FindingSizeSerializer(serializers.Serializer[Any]):
    severity = serializers.CharField()
    count = serializers.IntegerField()
    total = serializers.IntegerField()


class _FindingChangeSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    subject = serializers.CharField()
    before = _FindingSizeSerializer()
    after = _FindingSizeSerializer()
    sentence = serializers.CharField()


class AuditDiffSerializer(serializers.Serializer[Any]):
    against = serializers.IntegerField(help_text="id of the audit compared with")
    new = AuditFindingSerializer(many=True)
    gone = AuditFindingSerializer(many=True)
    changed = _FindingChangeSerializer(many=True)
    unchanged = serializers.IntegerField()


class AuditedClipSerializer(serializers.ModelSerializer[Video]):
    case = serializers.IntegerField(source="newest_case", allow_null=True, read_only=True)

    class Meta:
        model = Video
        fields = ["id", "case", "name", "source", "recording", "split"]
        read_only_fields = fields
