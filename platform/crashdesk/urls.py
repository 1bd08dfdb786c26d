"""All addresses: the API below /api/, media below /media/, the admin, and the pages."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from crashdesk.health.views import health

urlpatterns = [
    path("health", health, name="health"),
    path("admin/", admin.site.urls),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs",
        SpectacularSwaggerView.as_view(url_name="schema", http_method_names=["get", "head"]),
        name="api-docs",
    ),
    path("api/", include("crashdesk.accounts.urls")),
    path("api/", include("crashdesk.jobs.urls")),
    path("api/", include("crashdesk.audit.urls")),
    path("api/", include("annotations.corpora.members.urls")),
    path("api/", include("annotations.corpora.urls")),
    path("api/", include("annotations.corpora.uploads.urls")),
    path("api/", include("annotations.corpora.duplicates.urls")),
    path("api/", include("annotations.corpora.buckets.urls")),
    path("api/", include("annotations.corpora.tables.urls")),
    path("api/", include("annotations.gold.queue_urls")),
    path("api/", include("annotations.comments.urls")),  # before reviews and cases, for the same reason
    path(
        "api/", include("annotations.reviews.urls")
    ),  # before cases: /cases/approve is not a case named "approve"
    path("api/", include("annotations.cases.urls")),
    path("api/", include("annotations.labelstudio.urls")),
    path("api/", include("annotations.datasets.urls")),
    path("api/", include("annotations.quality.urls")),
    path("api/", include("annotations.effort.urls")),
    path("api/", include("annotations.gold.urls")),
    path("api/", include("annotations.corpus_audit.urls")),
    path("api/", include("model_assist.registry.urls")),
    path("api/", include("model_assist.predictions.urls")),
    path("api/", include("model_assist.calibration.urls")),
    path("api/", include("model_assist.training.urls")),
    path("api/", include("model_assist.selection.urls")),
    path("api/", include("model_assist.auto_approval.urls")),
    path("api/", include("model_assist.suspects.urls")),
    path("", include("frontend.urls")),
]
