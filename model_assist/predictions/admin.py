from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from model_assist.predictions.models import CasePrediction, PredictionRun


@admin.register(PredictionRun)
class PredictionRunAdmin(ReadOnlyAdmin):
    list_display = ["id", "corpus", "guideline", "model_version", "created_at", "created_by"]


@admin.register(CasePrediction)
class CasePredictionAdmin(ReadOnlyAdmin):
    list_display = ["id", "run", "case", "predicted_at", "seconds"]
