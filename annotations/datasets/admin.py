from django.contrib import admin

from annotations.datasets.models import DatasetRecord, DatasetVersion, Export
from crashdesk.audit.admin import ReadOnlyAdmin


@admin.register(DatasetVersion)
class DatasetVersionAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "corpus",
        "number",
        "guideline",
        "record_count",
        "content_hash",
        "created_at",
        "created_by",
    ]
    list_filter = ["corpus"]


@admin.register(DatasetRecord)
class DatasetRecordAdmin(ReadOnlyAdmin):
    list_display = ["id", "version", "case", "split"]
    list_filter = ["split", "version"]


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    list_display = ["id", "version", "format", "size", "sha256", "created_at", "created_by"]
    list_filter = ["format"]
