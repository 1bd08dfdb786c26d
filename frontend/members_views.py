"""The page of a corpus's members. Reading only: every change goes through the API."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import standing
from frontend.pages import check, keyset, opened, page

MEMBERS_PER_PAGE = 50
SUGGESTED = 500
"""At most so many user names are offered where somebody is added; every other one can be typed."""


@require_safe
@login_required
@ensure_csrf_cookie
def member_list(request: HttpRequest, pk: int) -> HttpResponse:
    """Who belongs to a corpus with which role, and whether others may enter it."""
    user = check(request)
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    members = Membership.objects.filter(corpus=corpus).select_related("user", "created_by").order_by("id")
    shown = keyset(members, request, MEMBERS_PER_PAGE)
    mine = standing(user).role_in(corpus.pk)
    others = User.objects.filter(is_active=True).exclude(memberships__corpus=corpus).order_by("username")
    context = {
        "corpus": corpus,
        "members": shown.rows,
        "shown": shown,
        "closed": corpus.access == Access.MEMBERS,
        "roles": [(role.value, role.label) for role in Role if role != Role.ADMIN or mine == Role.ADMIN],
        "mine": mine,
        "suggested": others.values_list("username", flat=True)[:SUGGESTED],
        "page": "corpora",
    }
    return page(
        request, "frontend/members/list.html", context, needs=Action.MANAGE_MEMBERS, corpus_id=corpus.pk
    )
