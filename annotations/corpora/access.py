"""Who may enter which corpus: what lists are narrowed by, and what services ask before they act.

A corpus that somebody may not even look into does not exist for them: they are told "not found", never "not allowed".
"""

from typing import TypeVar

from django.db import models
from django.db.models import Q, QuerySet

from annotations.corpora.models import Access, Corpus
from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import ALLOWED, Action, role_in, roles_for
from crashdesk.api.errors import Problem

M = TypeVar("M", bound=models.Model)


def open_to(user: User, action: Action = Action.VIEW) -> QuerySet[Corpus]:
    """The corpora in which this person may do it: `.filter(corpus__in=open_to(user))`. Lists use `narrow`."""
    if not user.is_active:
        return Corpus.objects.none()
    if user.role == Role.ADMIN:
        return Corpus.objects.all()
    roles, here = roles_for(action), Membership.objects.filter(user=user)
    allowed = Q(pk__in=here.filter(role__in=roles).values("corpus"))
    if user.role in roles:
        allowed |= Q(access=Access.EVERYONE) & ~Q(pk__in=here.values("corpus"))
    return Corpus.objects.filter(allowed)


def narrow(
    queryset: QuerySet[M], user: User, path: str = "corpus", *, action: Action = Action.VIEW
) -> QuerySet[M]:
    """Only the rows whose corpus (at `path`) is open to the person.

    The corpora are looked up at once, there are few of them, so that the database plans long lists as without them:
    nothing is added where all are open, and known ids otherwise.
    """
    if user.role == Role.ADMIN and user.is_active:
        return queryset
    found = list(open_to(user, action).values_list("pk", flat=True))
    if len(found) == Corpus.objects.count():
        return queryset
    return queryset.filter(**{f"{path}__in": found})


def require(user: User | None, action: Action, corpus: Corpus | int) -> None:
    """Refuse what the person may not do in the corpus. None is the system, which may do everything.

    Problem: not_found (404) when they may not even look into it, not_allowed (403) when they may only not do this.
    """
    if user is None:
        return
    role = role_in(user, corpus if isinstance(corpus, int) else corpus.pk)
    if role is None or Action.VIEW not in ALLOWED[role]:
        raise Problem("not_found", "There is no such thing.", status=404)
    if action not in ALLOWED[role]:
        raise Problem("not_allowed", "Your role in this corpus does not allow this.", status=403)
