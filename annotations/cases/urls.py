from rest_framework.routers import DefaultRouter

from annotations.cases.api import CaseViewSet, GuidelineViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("guidelines", GuidelineViewSet)
router.register("cases", CaseViewSet)
urlpatterns = router.urls
