from django.contrib.auth.views import LoginView
from django.urls import path

from frontend import (
    audit_views,
    calibration_views,
    corpora_views,
    duplicates_views,
    imports_views,
    opening,
    quality_views,
    runs_views,
    views,
)
from frontend.api import LoopView

urlpatterns = [
    path("api/loop", LoopView.as_view(), name="loop"),
    path(
        "login",
        LoginView.as_view(template_name="frontend/login.html", redirect_authenticated_user=True),
        name="login",
    ),
    path("logout", opening.Leave.as_view(), name="logout"),
    path("", views.home, name="home"),
    path("cases", views.case_list, name="cases"),
    path("cases/<int:pk>", views.case_page, name="case"),
    path("corpora", corpora_views.corpus_list, name="corpora"),
    path("corpora/<int:pk>", corpora_views.corpus_page, name="corpus"),
    path("corpora/<int:pk>/videos", corpora_views.video_list, name="corpus-videos"),
    path("corpora/<int:pk>/imports", corpora_views.corpus_imports, name="corpus-imports"),
    path("corpora/<int:pk>/import", imports_views.import_form, name="corpus-import"),
    path("corpora/<int:pk>/import/mapping", imports_views.mapping_form, name="corpus-import-mapping"),
    path("corpora/<int:pk>/import/trial", imports_views.mapping_trial, name="corpus-import-trial"),
    path("corpora/<int:pk>/audit", audit_views.audit_page, name="corpus-audit"),
    path("corpora/<int:pk>/audit/clips", audit_views.audit_clips, name="corpus-audit-clips"),
    path("models/<int:pk>/calibration", calibration_views.calibration_page, name="model-calibration"),
    path("videos/<int:pk>", corpora_views.video_page, name="video"),
    path("videos/<int:pk>/records/<int:record>", corpora_views.source_record, name="source-record"),
    path("review/<int:pk>", opening.review, name="review"),
    path("labelstudio", opening.labelstudio, name="labelstudio"),
    path("agreement", quality_views.agreement_page, name="agreement"),
    path("duplicates", duplicates_views.cluster_list, name="duplicates"),
    path("duplicates/said", duplicates_views.verdict_list, name="duplicate-verdicts"),
    path("duplicates/<int:pk>", duplicates_views.cluster_page, name="duplicate-cluster"),
    path("runs", runs_views.run_list, name="runs"),
    path("runs/new", runs_views.start_form, name="run-start"),
    path("runs/new/preview", runs_views.start_preview, name="run-preview"),
    path("runs/<int:pk>", runs_views.run_page, name="run"),
    path("runs/<int:pk>/progress", runs_views.run_progress, name="run-progress"),
    path("imports/<int:pk>", imports_views.import_page, name="import"),
    path("imports/<int:pk>/progress", imports_views.import_progress, name="import-progress"),
    path("imports/<int:pk>/rejections.csv", imports_views.rejections_csv, name="import-rejections-csv"),
]
