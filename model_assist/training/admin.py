from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from model_assist.training.models import TrainingRun


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = ["id", "dataset_version", "start_from", "model_version", "created_at", "finished_at"]
