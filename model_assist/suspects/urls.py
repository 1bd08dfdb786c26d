from rest_framework.routers import DefaultRouter

from model_assist.suspects.api import SuspectViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("suspects", SuspectViewSet)
urlpatterns = router.urls
