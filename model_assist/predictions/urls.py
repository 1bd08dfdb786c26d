from rest_framework.routers import DefaultRouter

from model_assist.predictions.api import PredictionRunViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("prediction-runs", PredictionRunViewSet)
urlpatterns = router.urls
