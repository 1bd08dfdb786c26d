from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.comments import api

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("comments", api.CommentViewSet)
router.register("inbox", api.InboxViewSet, basename="inbox")
urlpatterns = [
    path("cases/<int:pk>/return-with-comment", api.ReturnWithCommentView.as_view()),
    *router.urls,
]
