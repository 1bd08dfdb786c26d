from django.urls import path

from annotations.corpora.tables.api import TablePreviewView

urlpatterns = [path("table-previews", TablePreviewView.as_view(), name="table-previews")]
