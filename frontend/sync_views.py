"""The page that says whether a corpus and its projects in Label Studio are in step. Reading only."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.models import Corpus
from crashdesk.accounts.permissions import Action
from frontend import sync
from frontend.pages import opened, page


@require_safe
@login_required
@ensure_csrf_cookie
def sync_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Each project of the corpus: when it was polled and compared, and what disagrees, what that means, what helps."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    context = {"corpus": corpus, "projects": sync.projects(corpus), "page": "corpora"}
    return page(request, "frontend/sync/sync.html", context, needs=Action.SYNC, corpus_id=corpus.pk)
