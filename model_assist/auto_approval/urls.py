from rest_framework.routers import DefaultRouter

from model_assist.auto_approval.api import PolicyViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("auto-approval-policies", PolicyViewSet, basename="auto-approval-policy")
urlpatterns = router.urls
