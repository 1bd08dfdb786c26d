from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.reviews import adjudication_api, api, plans_api

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("reviews", api.ReviewViewSet)
router.register("review-plans", plans_api.ReviewPlanViewSet)
router.register("disputes", adjudication_api.DisputeViewSet)
urlpatterns = [
    path("cases/approve", api.BulkApproveView.as_view()),
    path("cases/<int:pk>/approve", api.ApproveView.as_view()),
    path("cases/<int:pk>/return", api.ReturnView.as_view()),
    path("cases/<int:pk>/exclude", api.ExcludeView.as_view()),
    path("cases/<int:pk>/reopen", api.ReopenView.as_view()),
    *router.urls,
]
