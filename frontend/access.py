"""What the signed-in person may do, for templates and page data."""

from collections.abc import Iterable
from typing import cast

from django.http import HttpRequest

from annotations.corpora.models import Corpus
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action, may
from crashdesk.accounts.scope import standing


def person(request: HttpRequest) -> User:
    """The signed-in user; pages call it behind login_required."""
    return cast(User, request.user)


def allowed(user: User, corpus_id: int | None = None) -> dict[str, bool]:
    """Action name to whether this person may do it: in that corpus, or in any at all. Templates hide the rest."""
    found = standing(user)
    return _told(found.allowed_somewhere() if corpus_id is None else found.allowed(corpus_id))


def allowed_on_site(user: User) -> dict[str, bool]:
    """The same for what belongs to no corpus."""
    return {action.value: may(user, action) for action in Action}


def mark(user: User, corpora: Iterable[Corpus]) -> None:
    """Give each of these corpora `allowed`, as a page about it alone would have."""
    found = standing(user)
    for corpus in corpora:
        vars(corpus)["allowed"] = _told(found.allowed(corpus.pk))


def _told(actions: frozenset[Action]) -> dict[str, bool]:
    return {action.value: action in actions for action in Action}
