from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.labelstudio import api

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("labelstudio/projects", api.LabelStudioProjectViewSet)
urlpatterns = [
    path("labelstudio/push", api.PushView.as_view()),
    path("labelstudio/pull", api.PullView.as_view()),
    path("labelstudio/webhook", api.WebhookView.as_view()),
    *router.urls,
]
