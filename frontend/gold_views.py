"""The page of gold cases. For leads alone: whoever is measured must not know by which cases."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.cases.kinds import TEXT_KINDS, TIME_KINDS
from annotations.corpora.access import open_to
from annotations.reviews.plans import current_plan
from crashdesk.accounts.permissions import Action
from frontend import gold
from frontend.pages import check, page
from frontend.quality import KIND_WORDS

MAX_ID = 2**63 - 1


@require_safe
@login_required
@ensure_csrf_cookie
def gold_page(request: HttpRequest) -> HttpResponse:
    """Scores over time, pauses and gold cases of one corpus."""
    user = check(request, Action.ASSIGN)
    corpora = list(open_to(user, Action.ASSIGN).order_by("name"))
    asked = request.GET.get("corpus", "")
    corpus = corpora[0] if corpora and not asked else None
    if asked.isascii() and asked.isdigit() and int(asked) <= MAX_ID:
        corpus = next((one for one in corpora if one.pk == int(asked)), None)
    if asked and corpus is None:
        raise Http404(f"no corpus {asked!r}")
    context: dict[str, Any] = {"corpora": corpora, "corpus": corpus, "page": "gold"}
    if corpus is not None:
        context |= {
            "plan": current_plan(corpus),
            "people": gold.people(corpus),
            "cases": gold.cases(corpus),
            "past": gold.past_pauses(corpus),
            "time_kinds": [(kind.value, KIND_WORDS[kind]) for kind in TIME_KINDS],
            "text_kinds": [(kind.value, KIND_WORDS[kind]) for kind in TEXT_KINDS],
        }
    return page(
        request, "frontend/gold/gold.html", context, needs=Action.ASSIGN, corpus_id=corpus.pk if corpus else None
    )  # fmt: skip
