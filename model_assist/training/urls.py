from rest_framework.routers import DefaultRouter

from model_assist.training.api import TrainingRunViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("training-runs", TrainingRunViewSet)
urlpatterns = router.urls
