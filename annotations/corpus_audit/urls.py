from rest_framework.routers import DefaultRouter

from annotations.corpus_audit.api import AcknowledgementViewSet, CorpusAuditViewSet

router = DefaultRouter(trailing_slash=False)
router.include_root_view = False
router.register("audits", CorpusAuditViewSet, basename="audit")
router.register("audit-acknowledgements", AcknowledgementViewSet, basename="audit-acknowledgement")
urlpatterns = router.urls
