from django.contrib import admin

from crashdesk.audit.admin import ReadOnlyAdmin
from model_assist.calibration.models import Calibration


@admin.register(Calibration)
class CalibrationAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "model_version",
        "kind",
        "method",
        "evidence",
        "pairs",
        "right",
        "created_at",
        "created_by",
    ]
    list_filter = ["kind", "method", "evidence"]
