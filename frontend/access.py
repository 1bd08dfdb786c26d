"""What the signed-in person may do, for templates and page data."""

from typing import cast

from django.http import HttpRequest

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may


def person(request: HttpRequest) -> User:
    """The signed-in user; pages call it behind login_required."""
    return cast(User, request.user)


def allowed(user: User) -> dict[str, bool]:
    """Action name to whether this role may do it; templates hide the rest."""
    return {action.value: may(user, action) for action in Action}
