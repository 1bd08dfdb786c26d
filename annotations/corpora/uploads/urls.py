from django.urls import path

from annotations.corpora.uploads.api import UploadViewSet

urlpatterns = [
    path("uploads", UploadViewSet.as_view({"get": "list", "post": "create"}), name="upload-list"),
    path(
        "uploads/<uuid:pk>",
        UploadViewSet.as_view({"get": "retrieve", "head": "head", "patch": "append", "delete": "terminate"}),
        name="upload-detail",
    ),
    path(
        "uploads/<uuid:pk>/parts",
        UploadViewSet.as_view({"get": "parts", "post": "sign"}),
        name="upload-parts",
    ),
    path("uploads/<uuid:pk>/complete", UploadViewSet.as_view({"post": "complete"}), name="upload-complete"),
]
