from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.gold import queue_api

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("assignments", queue_api.AssignmentViewSet)
urlpatterns = [
    path("work", queue_api.WorkView.as_view()),
    path("work/next", queue_api.NextView.as_view()),
    path("work/<int:pk>/release", queue_api.WorkReleaseView.as_view()),
    path("assignments/release", queue_api.BulkReleaseView.as_view()),
    path("assignments/rebalance", queue_api.RebalanceView.as_view()),
    path("corpora/<int:pk>/board", queue_api.BoardView.as_view()),
    *router.urls,
]
