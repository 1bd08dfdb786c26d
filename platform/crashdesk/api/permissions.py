"""API permission by role: reading needs `view`, every action names what it needs.

This is the first of two gates. It lets pass whoever may do such a thing in any corpus; the second one is the queryset
of the view (annotations.corpora.access.open_to) or the service, which knows the corpus that is asked for.
"""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from crashdesk.accounts.permissions import Action, may, may_somewhere

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
        needs: dict[str, Action] = getattr(view, "needs", {})
        name = getattr(view, "action", None) or (request.method or "").lower()
        needed = needs.get(name)
        if needed is None:
            if request.method not in {"GET", "HEAD", "OPTIONS"}:
                return False
            needed = Action.VIEW
        if name in getattr(view, "sitewide", ()):
            return may(request.user, needed)
        return may_somewhere(request.user, needed)
