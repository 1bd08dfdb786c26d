"""API permission by role: reading needs `view`, every action names what it needs."""

from typing import TYPE_CHECKING

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from crashdesk.accounts.permissions import Action, may

if TYPE_CHECKING:  # DRF imports this module while rest_framework.views is still loading
    from rest_framework.views import APIView


class RolePermission(BasePermission):
    """Views declare `needs = {"action name": Action.X}`; anything else needs Action.VIEW to read.

    A write that declares nothing is refused, so a forgotten entry fails closed.
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
        return may(request.user, needed)
