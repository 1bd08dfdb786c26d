from django.urls import path
from rest_framework.routers import DefaultRouter

from model_assist.predictions.api import PredictionRunViewSet, PredictNowView

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("prediction-runs", PredictionRunViewSet)
urlpatterns = [path("cases/<int:pk>/predict", PredictNowView.as_view(), name="case-predict"), *router.urls]
