"""The pages of disputes. Reading only: everything is decided through the API."""

from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.reviews.adjudication_api import visible
from annotations.reviews.disputes import LIVE
from annotations.reviews.models import DisputeState
from crashdesk.accounts.permissions import Action
from frontend import adjudication
from frontend.pages import check, keyset, page

PER_PAGE: Final = 30
TABS: Final = {
    "": ("To decide", LIVE),
    "settled": ("Decided", (DisputeState.SETTLED,)),
    "dropped": ("No longer needed", (DisputeState.DROPPED,)),
}


@require_safe
@login_required
@ensure_csrf_cookie
def dispute_list(request: HttpRequest) -> HttpResponse:
    """Disputes of the corpora in which the person decides; their own answers' only once they are closed."""
    user = check(request, Action.ADJUDICATE)
    state = request.GET.get("state", "")
    if state not in TABS:
        raise Http404(f"no state {state!r}")
    found = visible(user).filter(state__in=TABS[state][1]).order_by("id" if state == "" else "-id")
    listed = keyset(found, request, PER_PAGE)
    context = {
        "rows": adjudication.rows(listed.rows, user),
        "shown": listed,
        "state": state,
        "tabs": [(value, words) for value, (words, _) in TABS.items()],
        "query": f"state={state}" if state else "",
        "page": "disputes",
    }
    return page(request, "frontend/adjudication/list.html", context, needs=Action.ADJUDICATE)


@require_safe
@login_required
@ensure_csrf_cookie
def dispute_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Both answers side by side under the clip, and what is decided so far."""
    user = check(request, Action.ADJUDICATE)
    dispute = get_object_or_404(visible(user), pk=pk)
    shown = adjudication.shown(dispute, user)
    following = visible(user).filter(state__in=LIVE, pk__gt=dispute.pk).order_by("id").first()
    media = dispute.case.video.media
    context = {
        "dispute": dispute,
        "case": dispute.case,
        "media": media,
        "shown": shown,
        "timeline": shown.timeline,
        "playable": shown.timeline["fps"] is not None,
        "choice_words": adjudication.CHOICE_WORDS,
        "following": following,
        "page": "disputes",
    }
    return page(
        request, "frontend/adjudication/dispute.html", context, needs=Action.ADJUDICATE,
        corpus_id=dispute.case.corpus_id,
    )  # fmt: skip
