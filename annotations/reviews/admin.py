from django.contrib import admin

from annotations.reviews.models import Review
from crashdesk.audit.admin import ReadOnlyAdmin


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ["id", "case", "reviewer", "outcome", "lead_seconds", "submitted_at"]
    list_filter = ["outcome"]
    search_fields = ["origin", "reviewer__username"]
