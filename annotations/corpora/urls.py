from rest_framework.routers import DefaultRouter

from annotations.corpora.api import CorpusViewSet, ImportViewSet, VideoViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("corpora", CorpusViewSet)
router.register("videos", VideoViewSet)
router.register("imports", ImportViewSet, basename="import")
urlpatterns = router.urls
