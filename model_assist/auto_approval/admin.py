from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from model_assist.auto_approval.models import Policy


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "corpus",
        "version",
        "model_version",
        "state",
        "max_error",
        "stop_reason",
        "created_at",
    ]
    list_filter = ["state", "stop_reason"]
