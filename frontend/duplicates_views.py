"""The pages of near duplicates. Reading only: every change goes through the API."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.access import open_to
from annotations.corpora.duplicates.opening import open_clusters, open_verdicts
from annotations.corpora.models import DuplicateCluster
from frontend import duplicates
from frontend.duplicates import ClusterFilters
from frontend.pages import check, keyset, page

CLUSTERS_PER_PAGE = 20
VERDICTS_PER_PAGE = 30


@require_safe
@login_required
@ensure_csrf_cookie
def cluster_list(request: HttpRequest) -> HttpResponse:
    """Clusters with their first members; several can be chosen and merged."""
    user = check(request)
    filters = ClusterFilters.read(request.GET)
    corpus = open_to(user).filter(pk=int(filters.corpus)).first() if filters.corpus else None
    clusters = open_clusters(duplicates.narrowed(filters), user)
    shown = keyset(clusters, request, CLUSTERS_PER_PAGE)
    context = {
        "rows": duplicates.rows(shown.rows),
        "shown": shown,
        "count": None if request.GET.get("cursor") else clusters.count(),
        "filters": filters,
        "query": filters.encoded(),
        "corpus": corpus,
        "corpora": open_to(user).order_by("name"),
        "states": duplicates.STATES,
        "search": duplicates.search(corpus, user),
        "page": "corpora",
    }
    return page(request, "frontend/duplicates/list.html", context)


@require_safe
@login_required
@ensure_csrf_cookie
def cluster_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One cluster: its members side by side, what speaks for each, and what a lead may do."""
    user = check(request)
    cluster = get_object_or_404(
        open_clusters(DuplicateCluster.objects.select_related("confirmed_by"), user), pk=pk
    )
    members = duplicates.cluster_members(cluster)
    proposed = [row for row in members if row.proposed]
    context = {
        "cluster": cluster,
        "members": members,
        "count": cluster.members.count(),
        "proposed": proposed,
        "recordings": duplicates.recordings(members),
        "outsiders": duplicates.outsiders(cluster, user),
        "page": "corpora",
    }
    return page(request, "frontend/duplicates/cluster.html", context)


@require_safe
@login_required
@ensure_csrf_cookie
def verdict_list(request: HttpRequest) -> HttpResponse:
    """What people said of pairs of videos, which can be withdrawn."""
    shown = keyset(open_verdicts(duplicates.verdicts(), check(request)), request, VERDICTS_PER_PAGE)
    context = {"verdicts": shown.rows, "shown": shown, "page": "corpora"}
    return page(request, "frontend/duplicates/verdicts.html", context)
