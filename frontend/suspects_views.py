"""The page of labels that something speaks against. Reading only: every decision goes through the API."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.access import open_to
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from frontend import suspects
from frontend.pages import check, keyset, page
from frontend.quality import KIND_WORDS
from model_assist.suspects.models import Suspect, SuspectState

PAGE_SIZE = 20
SHOWN_CHOICES = 500


@require_safe
@login_required
@ensure_csrf_cookie
def suspect_list(request: HttpRequest) -> HttpResponse:
    """Suspects, the most suspicious first, for what the address narrows them to; open ones unless it says otherwise."""
    user = check(request, Action.APPROVE)
    corpora = list(open_to(user, Action.APPROVE).order_by("name")[:SHOWN_CHOICES])
    given = {
        name: value for name in ("corpus", "kind", "state") if (value := request.GET.get(name, "").strip())
    }
    corpus = next((one for one in corpora if str(one.pk) == given.get("corpus")), None)
    found = narrow(
        Suspect.objects.select_related("case__video", "case__corpus", "answer", "decided_by"), user, "case__corpus",
        action=Action.APPROVE,
    )  # fmt: skip
    state = given.get("state", SuspectState.OPEN)
    if state in SuspectState.values:
        found = found.filter(state=state)
    if corpus is not None:
        found = found.filter(case__corpus=corpus)
    if given.get("kind") in KIND_WORDS:
        found = found.filter(kind=given["kind"])
    shown = keyset(found, request, PAGE_SIZE)
    encoded = QueryDict(mutable=True)
    encoded.update(given)
    context = {
        "rows": suspects.rows(shown.rows),
        "shown": shown,
        "count": found.count(),
        "given": given,
        "query": encoded.urlencode(),
        "corpus": corpus,
        "corpora": corpora,
        "kinds": KIND_WORDS.items(),
        "states": SuspectState.choices,
        "state": state,
        "search": suspects.searches(corpus.pk if corpus else None),
        "page": "suspects",
    }
    return page(request, "frontend/suspects/list.html", context, needs=Action.APPROVE)
