from django.contrib import admin

from annotations.cases.models import Answer, ApprovedAnswer, Case, Guideline, Prompt
from crashdesk.audit.admin import ReadOnlyAdmin


class PromptInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Prompt
    can_delete = False

    def has_add_permission(self, request: object, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False


@admin.register(Guideline)
class GuidelineAdmin(ReadOnlyAdmin):
    list_display = ["name", "version", "created_at", "created_by"]
    inlines = [PromptInline]


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    list_display = ["id", "video", "corpus", "status", "lacks_media", "review_rank", "status_changed_at"]
    list_filter = ["status", "lacks_media", "corpus"]
    list_select_related = ["video", "corpus"]
    search_fields = ["video__name"]


@admin.register(Answer)
class AnswerAdmin(ReadOnlyAdmin):
    list_display = ["id", "case", "kind", "state", "author_kind", "author", "model_version", "created_at"]
    list_filter = ["kind", "state", "author_kind"]
    list_select_related = ["case", "author"]


@admin.register(ApprovedAnswer)
class ApprovedAnswerAdmin(ReadOnlyAdmin):
    list_display = ["case", "kind", "answer", "approved_at", "approved_by"]
    list_select_related = ["case", "answer", "approved_by"]
