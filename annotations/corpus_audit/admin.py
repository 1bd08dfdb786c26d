from django.contrib import admin

from annotations.corpus_audit.models import CorpusAudit, FindingAcknowledgement
from crashdesk.audit.admin import ReadOnlyAdmin


@admin.register(CorpusAudit)
class CorpusAuditAdmin(ReadOnlyAdmin):
    list_display = ["id", "corpus", "inputs_hash", "code_version", "created_at", "created_by"]
    list_filter = ["corpus"]


@admin.register(FindingAcknowledgement)
class FindingAcknowledgementAdmin(ReadOnlyAdmin):
    list_display = ["id", "corpus", "code", "subject", "count", "reason", "by", "at", "withdrawn_at"]
    list_filter = ["corpus", "code"]
