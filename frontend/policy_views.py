"""The page of a corpus's auto-approval policies. Reading only: every change goes through the API."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.models import Corpus
from frontend import policy
from frontend.pages import opened, page


@require_safe
@login_required
@ensure_csrf_cookie
def policy_page(request: HttpRequest, pk: int) -> HttpResponse:
    """The newest policy, or the one that `?policy=<id>` asks for, with its statistics; a preview; earlier ones."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    rows = policy.policies(corpus)
    asked = request.GET.get("policy", "")
    chosen = (
        next((row for row in rows if str(row.pk) == asked), None) if asked else (rows[0] if rows else None)
    )
    if asked and chosen is None:
        raise Http404(f"there is no policy {asked} of this corpus")
    preview = policy.last_preview(corpus)
    context = {
        "corpus": corpus,
        "shown": policy.shown(chosen) if chosen else None,
        "steps": policy.STEPS,
        "rows": rows,
        "preview": preview,
        "preview_rows": policy.saved_hours(preview),
        "choices": policy.choices(corpus),
        "page": "corpora",
    }
    return page(request, "frontend/policy/policy.html", context, corpus_id=corpus.pk)
