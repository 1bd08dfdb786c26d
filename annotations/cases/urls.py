from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.cases.api import CaseViewSet, ExamineAgainView, GuidelineViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("guidelines", GuidelineViewSet)
router.register("cases", CaseViewSet)
urlpatterns = [
    path("videos/<int:pk>/examine-again", ExamineAgainView.as_view(), name="video-examine-again"),
    *router.urls,
]
