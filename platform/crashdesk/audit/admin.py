"""The audit log and the base for every admin page whose history is immutable."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from crashdesk.audit.models import AuditEvent


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Look, but neither add, change nor delete."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ["at", "actor", "verb", "subject_type", "subject_id"]
    list_filter = ["verb", "subject_type"]
    search_fields = ["actor", "verb"]
