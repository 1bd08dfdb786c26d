"""What every page shares: who may see it, and what its frame needs."""

from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may
from crashdesk.api.keyset import InvalidCursor, Page, page_of
from frontend.access import allowed, person

M = TypeVar("M", bound=Model)


def check(request: HttpRequest, needs: Action = Action.VIEW) -> User:
    """The signed-in person. PermissionDenied when their role may not look, or not do `needs`."""
    user = person(request)
    if not may(user, Action.VIEW) or not may(user, needs):
        raise PermissionDenied
    return user


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, needs: Action = Action.VIEW
) -> HttpResponse:
    """Render a page for the signed-in person. PermissionDenied when their role may not do `needs`."""
    user = check(request, needs)
    shared = {"allowed": allowed(user), "labelstudio_url": settings.LABELSTUDIO_PUBLIC_URL}
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
