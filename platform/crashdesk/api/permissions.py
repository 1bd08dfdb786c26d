"""API permission by role: reading needs `view`, every action names what it needs.

This is the first of two gates. It lets pass whoever may do such a thing in any corpus; the second one is the queryset
of the view (annotations.corpora.access.open_to) or the service, which knows the corpus that is asked for.
"""

from typing import TYPE_CHECKING, Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may, may_somewhere
from crashdesk.accounts.scope import standing
from crashdesk.audit.corpora import corpus_of

if TYPE_CHECKING:  # DRF imports this module while rest_framework.views is still loading
    from rest_framework.views import APIView


class RolePermission(BasePermission):
    """Views declare `needs = {"action name": Action.X}`; anything else needs Action.VIEW to read.

    A write that declares nothing is refused, so a forgotten entry fails closed. What belongs to no corpus is named in
    `sitewide = {"action name"}`: only the person's role on the site counts there.
    """

    message = "Your role does not allow this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        needed = _needed(request, view)
        if needed is None:
            return False
        if _name(request, view) in getattr(view, "sitewide", ()):
            return may(request.user, needed)
        return may_somewhere(request.user, needed)

    def has_object_permission(self, request: Request, view: "APIView", obj: Any) -> bool:
        """Once more for the corpus that the object is of, or for the site where it is of none."""
        needed = _needed(request, view)
        if needed is None or not isinstance(request.user, User):
            return False
        found, corpus_id = standing(request.user), corpus_of(obj)
        return may(request.user, needed) if corpus_id is None else needed in found.allowed(corpus_id)


def _name(request: Request, view: "APIView") -> str:
    return getattr(view, "action", None) or (request.method or "").lower()


def _needed(request: Request, view: "APIView") -> Action | None:
    """What the request needs; None for a write that has not said it."""
    needs: dict[str, Action] = getattr(view, "needs", {})
    reads = request.method in {"GET", "HEAD", "OPTIONS"}
    return needs.get(_name(request, view), Action.VIEW if reads else None)
