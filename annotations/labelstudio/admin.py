from django.contrib import admin

from annotations.labelstudio.models import LabelStudioAnnotation, LabelStudioProject, LabelStudioTask
from crashdesk.audit.admin import ReadOnlyAdmin


@admin.register(LabelStudioProject)
class LabelStudioProjectAdmin(ReadOnlyAdmin):
    list_display = ["title", "corpus", "guideline", "project_id", "shown_model_version", "polled_until"]


@admin.register(LabelStudioTask)
class LabelStudioTaskAdmin(ReadOnlyAdmin):
    list_display = ["id", "project", "case", "task_id", "shown_rank", "pushed_at"]
    list_filter = ["project"]


@admin.register(LabelStudioAnnotation)
class LabelStudioAnnotationAdmin(ReadOnlyAdmin):
    list_display = ["annotation_id", "task", "review", "changed_at", "deleted_at"]
