from rest_framework.routers import DefaultRouter

from model_assist.calibration.api import CalibrationViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("calibrations", CalibrationViewSet)
urlpatterns = router.urls
