from django.contrib import admin

from annotations.labelstudio.models import (
    LabelStudioAnnotation,
    LabelStudioForm,
    LabelStudioProject,
    LabelStudioTask,
)
from crashdesk.audit.admin import ReadOnlyAdmin


@admin.register(LabelStudioForm)
class LabelStudioFormAdmin(ReadOnlyAdmin):
    list_display = ["corpus", "guideline", "version", "made_at", "made_by"]


@admin.register(LabelStudioProject)
class LabelStudioProjectAdmin(ReadOnlyAdmin):
    list_display = [
        "title",
        "corpus",
        "guideline",
        "part",
        "project_id",
        "shown_model_version",
        "polled_until",
    ]


@admin.register(LabelStudioTask)
class LabelStudioTaskAdmin(ReadOnlyAdmin):
    list_display = ["id", "project", "case", "assignment", "task_id", "shown_rank", "pushed_at"]
    list_filter = ["project"]


@admin.register(LabelStudioAnnotation)
class LabelStudioAnnotationAdmin(ReadOnlyAdmin):
    list_display = ["annotation_id", "task", "review", "changed_at", "deleted_at"]
