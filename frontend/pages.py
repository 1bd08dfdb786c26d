"""What every page shares: who may see it, and what its frame needs."""

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from crashdesk.accounts.permissions import Action, may
from frontend.access import allowed, person


def page(
    request: HttpRequest, template: str, context: dict[str, Any], *, needs: Action = Action.VIEW
) -> HttpResponse:
    """Render a page for the signed-in person. PermissionDenied when their role may not do `needs`."""
    user = person(request)
    if not may(user, Action.VIEW) or not may(user, needs):
        raise PermissionDenied
    shared = {"allowed": allowed(user), "labelstudio_url": settings.LABELSTUDIO_PUBLIC_URL}
    return render(request, template, shared | context)
