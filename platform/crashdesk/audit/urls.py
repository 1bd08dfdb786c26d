from django.urls import path
from rest_framework.routers import DefaultRouter

from crashdesk.audit.api import AuditCsvView, AuditLinesView, AuditLogViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("audit-log", AuditLogViewSet)
urlpatterns = [
    path("audit-log.csv", AuditCsvView.as_view(), name="audit-log-csv"),
    path("audit-log.jsonl", AuditLinesView.as_view(), name="audit-log-jsonl"),
    *router.urls,  # its format suffixes would take the two addresses above
]
