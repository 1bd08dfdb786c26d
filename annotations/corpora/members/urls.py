from django.urls import path
from rest_framework.routers import DefaultRouter

from annotations.corpora.members.api import AccessView, MembershipViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("memberships", MembershipViewSet)
urlpatterns = [*router.urls, path("corpora/<int:pk>/access", AccessView.as_view(), name="corpus-access")]
