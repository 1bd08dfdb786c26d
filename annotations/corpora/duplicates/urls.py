from django.urls import path

from annotations.corpora.duplicates.api import DuplicateClusterViewSet, DuplicateVerdictViewSet

CLUSTER = "duplicate-clusters/<int:pk>"

urlpatterns = [
    path(
        "duplicate-clusters",
        DuplicateClusterViewSet.as_view({"get": "list", "post": "create"}),
        name="duplicate-cluster-list",
    ),
    path(
        "duplicate-clusters/search",
        DuplicateClusterViewSet.as_view({"post": "search"}),
        name="duplicate-cluster-search",
    ),
    path(CLUSTER, DuplicateClusterViewSet.as_view({"get": "retrieve"}), name="duplicate-cluster-detail"),
    *(
        path(
            f"{CLUSTER}/{act}",
            DuplicateClusterViewSet.as_view({"post": act}),
            name=f"duplicate-cluster-{act}",
        )
        for act in ("confirm", "add", "remove", "merge")
    ),
    path(
        "duplicate-verdicts", DuplicateVerdictViewSet.as_view({"get": "list"}), name="duplicate-verdict-list"
    ),
    path(
        "duplicate-verdicts/<int:pk>",
        DuplicateVerdictViewSet.as_view({"get": "retrieve", "delete": "destroy"}),
        name="duplicate-verdict-detail",
    ),
]
