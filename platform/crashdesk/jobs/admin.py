from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from crashdesk.jobs.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ["id", "kind", "queue", "state", "attempts", "progress_done", "progress_total", "message"]
    list_filter = ["state", "kind", "queue"]
