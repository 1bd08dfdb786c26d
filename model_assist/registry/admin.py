from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from model_assist.registry.models import Evaluation, ModelVersion, Promotion


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = ["id", "name", "in_use", "parent", "trained_on", "created_at"]


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin):
    list_display = ["id", "model_version", "replaced", "reason", "promoted_at", "promoted_by"]


@admin.register(Evaluation)
class EvaluationAdmin(ReadOnlyAdmin):
    list_display = ["id", "model_version", "dataset_version", "split", "created_at"]
