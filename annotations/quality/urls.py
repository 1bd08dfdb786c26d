from django.urls import path

from annotations.quality.api import AgreementTableView, AgreementView

urlpatterns = [
    path("agreement", AgreementView.as_view(), name="api-agreement"),
    path("agreement.csv", AgreementTableView.as_view(), name="api-agreement-table"),
]
