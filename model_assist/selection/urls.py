from rest_framework.routers import DefaultRouter

from model_assist.selection.api import SelectionRoundViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("selection-rounds", SelectionRoundViewSet)
urlpatterns = router.urls
