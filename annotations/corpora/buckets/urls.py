from rest_framework.routers import DefaultRouter

from annotations.corpora.buckets.api import BucketSourceViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("buckets", BucketSourceViewSet, basename="bucket")
urlpatterns = router.urls
