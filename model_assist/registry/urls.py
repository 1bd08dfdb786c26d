from rest_framework.routers import DefaultRouter

from model_assist.registry.api import ModelVersionViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("model-versions", ModelVersionViewSet)
urlpatterns = router.urls
