from django.contrib import admin

from annotations.corpora.models import Corpus, ImportRejection, ImportRun, Media, Video, VideoFinding
from crashdesk.audit.admin import ReadOnlyAdmin


@admin.register(Corpus)
class CorpusAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Licence and terms may be put right; corpora are made and filled by imports."""

    list_display = ["name", "licence", "created_at", "created_by"]
    search_fields = ["name"]
    fields = ["name", "licence", "terms"]

    def has_add_permission(self, request: object) -> bool:
        return False

    def has_delete_permission(self, request: object, obj: Corpus | None = None) -> bool:
        return False


@admin.register(Media)
class MediaAdmin(ReadOnlyAdmin):
    list_display = ["sha256", "state", "codec", "width", "height", "duration_us", "variable_rate", "size"]
    list_filter = ["state", "codec", "variable_rate"]
    search_fields = ["sha256"]
    exclude = ["time_map"]


@admin.register(Video)
class VideoAdmin(ReadOnlyAdmin):
    list_display = ["id", "name", "corpus", "source", "recording", "media"]
    list_filter = ["corpus"]
    list_select_related = ["corpus", "media"]
    search_fields = ["name", "recording"]


@admin.register(VideoFinding)
class VideoFindingAdmin(ReadOnlyAdmin):
    list_display = ["video", "code", "subject", "severity", "message"]
    list_filter = ["code", "severity"]
    list_select_related = ["video"]


@admin.register(ImportRun)
class ImportRunAdmin(ReadOnlyAdmin):
    list_display = ["id", "corpus", "format", "path", "created_at", "finished_at", "created_by"]
    list_filter = ["format", "corpus"]
    list_select_related = ["corpus", "created_by"]


@admin.register(ImportRejection)
class ImportRejectionAdmin(ReadOnlyAdmin):
    list_display = ["run", "file", "row", "field", "reason"]
    list_select_related = ["run"]
