from rest_framework.routers import DefaultRouter

from annotations.gold import api

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("gold-cases", api.GoldCaseViewSet)
router.register("gold-scores", api.GoldScoreViewSet)
router.register("pauses", api.PauseViewSet)
urlpatterns = router.urls
