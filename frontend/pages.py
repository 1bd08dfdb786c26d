"""What every page shares: who may see it, and what its frame needs."""

from functools import partial
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.functional import SimpleLazyObject

from annotations.comments.reading import unread
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow, standing
from crashdesk.api.keyset import InvalidCursor, Page, page_of
from frontend.access import allowed, allowed_on_site, person

M = TypeVar("M", bound=Model)


def check(request: HttpRequest, needs: Action = Action.VIEW, *, corpus_id: int | None = None) -> User:
    """The signed-in person. PermissionDenied when they may not do `needs` in that corpus, or in any at all."""
    user = person(request)
    found = standing(user)
    able = found.allowed_somewhere() if corpus_id is None else found.allowed(corpus_id)
    if not {Action.VIEW, needs} <= able:
        raise PermissionDenied
    return user


def opened(request: HttpRequest, rows: QuerySet[M], pk: int, path: str = "corpus") -> M:
    """The row of that id, if it is of a corpus (at `path`) that the person may see. Http404 otherwise."""
    return get_object_or_404(narrow(rows, person(request), path), pk=pk)


def page(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    needs: Action = Action.VIEW,
    corpus_id: int | None = None,
) -> HttpResponse:
    """Render a page for the signed-in person. PermissionDenied when they may not do `needs`.

    `corpus_id`: of the corpus that the page is about; the person's role there decides what it offers.
    """
    user = check(request, needs, corpus_id=corpus_id)
    shared = {
        "allowed": allowed(user, corpus_id),
        "allowed_on_site": allowed_on_site(user),
        "allowed_somewhere": allowed(user),
        "labelstudio_url": settings.LABELSTUDIO_PUBLIC_URL,
        "unread": SimpleLazyObject(partial(unread, user)),
    }
    return render(request, template, shared | context)


def keyset(
    rows: QuerySet[M], request: HttpRequest, size: int, *, whole: QuerySet[M] | None = None
) -> Page[M]:
    """The page of a long list that the address asks for. Http404 when its cursor is not one of this list.

    `whole`: the list's rows with all that is joined to them, where only those of the page shall be joined.
    """
    try:
        return page_of(rows, size=size, cursor=request.GET.get("cursor", ""), rows=whole)
    except InvalidCursor as error:
        raise Http404(f"the cursor {error}") from error
