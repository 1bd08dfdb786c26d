from rest_framework.routers import DefaultRouter

from crashdesk.jobs.api import JobViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("jobs", JobViewSet)
urlpatterns = router.urls
