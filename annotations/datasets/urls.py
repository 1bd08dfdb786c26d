from rest_framework.routers import DefaultRouter

from annotations.datasets.api import DatasetVersionViewSet, ExportViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("dataset-versions", DatasetVersionViewSet)
router.register("exports", ExportViewSet)
urlpatterns = router.urls
