from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.labelstudio import api
from annotations.labelstudio.guard_api import GuardView
from annotations.labelstudio.media_links import MediaView
from annotations.labelstudio.provisioning_api import CheckView, FormView, ProvisionView
from annotations.labelstudio.reconcile_api import ReconcileView, ReconciliationView

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("labelstudio/projects", api.LabelStudioProjectViewSet)
urlpatterns = [
    path("labelstudio/push", api.PushView.as_view()),
    path("labelstudio/pull", api.PullView.as_view()),
    path("labelstudio/reconcile", ReconcileView.as_view()),
    path("labelstudio/projects/<int:pk>/reconciliation", ReconciliationView.as_view()),
    path("labelstudio/check", CheckView.as_view()),
    path("labelstudio/provision", ProvisionView.as_view()),
    path("labelstudio/form", FormView.as_view()),
    path("labelstudio/guard", GuardView.as_view()),
    path("labelstudio/media/<str:sha256>/<int:end>/<str:signature>.mp4", MediaView.as_view()),
    path("labelstudio/webhook", api.WebhookView.as_view()),
    *router.urls,
]
