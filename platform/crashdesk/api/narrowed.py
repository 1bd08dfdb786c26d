"""Views of what belongs to corpora show each person the rows of those corpora that are open to them."""

from typing import Any, cast

from django.db.models import QuerySet
from rest_framework.request import Request

from crashdesk.accounts.models import User
from crashdesk.accounts.scope import narrow


def who(request: Request) -> User:
    """The signed-in person behind a request that RolePermission has let pass."""
    return cast(User, request.user)


class OpenRows:
    """For a generic view, before its base class: get_queryset() leaves only what is open to whoever asks.

    `corpus_path`: where the corpus is from the rows. What a write needs is asked of the role in the row's own corpus by
    RolePermission, once get_object() has found it.
    """

    corpus_path = "corpus"

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]
        if getattr(self, "swagger_fake_view", False):  # nobody asks: the schema is being written
            return rows
        return narrow(rows, who(cast(Any, self).request), self.corpus_path)
