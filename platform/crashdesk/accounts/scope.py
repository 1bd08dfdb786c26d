"""What a person sees and may do, corpus by corpus: what lists are narrowed by, and what services ask before they act.

A corpus that somebody may not even look into does not exist for them: they are told "not found", never "not allowed".
The rooms that know corpora use this through annotations.corpora.access.
"""

from typing import Any, TypeVar

from django.apps import apps
from django.db import models
from django.db.models import Q, QuerySet

from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import ALLOWED, Action, may, may_in, role_in, roles_for
from crashdesk.api.errors import Problem

M = TypeVar("M", bound=models.Model)


def is_open(user: User, action: Action = Action.VIEW) -> Q:
    """The condition on corpora that the person may do it there."""
    if not user.is_active:
        return Q(pk__in=[])
    if user.role == Role.ADMIN:
        return Q()
    roles, here = roles_for(action), Membership.objects.filter(user=user)
    allowed = Q(pk__in=here.filter(role__in=roles).values("corpus"))
    if user.role in roles:
        allowed |= Q(access="everyone") & ~Q(pk__in=here.values("corpus"))
    return allowed


def open_ids(user: User, action: Action = Action.VIEW) -> list[int] | None:
    """The ids of the corpora in which the person may do it; None where that is every one there is."""
    if user.role == Role.ADMIN and user.is_active:
        return None
    corpora: Any = apps.get_model("corpora", "Corpus")._default_manager.order_by("pk")
    told = corpora.annotate(is_open=models.ExpressionWrapper(is_open(user, action), models.BooleanField()))
    rows = list(told.values_list("pk", "is_open"))
    found = [pk for pk, opened in rows if opened]
    return None if len(found) == len(rows) else found


def narrow(
    queryset: QuerySet[M], user: User, path: str = "corpus", *, action: Action = Action.VIEW
) -> QuerySet[M]:
    """Only the rows whose corpus (at `path`) is open to the person.

    The corpora are looked up at once, there are few of them, so that the database plans long lists as without them:
    nothing is added where all are open, and known ids otherwise.
    """
    found = open_ids(user, action)
    return queryset if found is None else queryset.filter(**{f"{path}__in": found})


def narrow_shared(
    queryset: QuerySet[M],
    user: User,
    path: str,
    *,
    action: Action = Action.VIEW,
    shared: Action | None = None,
) -> QuerySet[M]:
    """As `narrow`, for rows that may belong to no corpus (`path` is NULL).

    Those are the site's own: seen by whoever may do `shared` (default: `action`) on the site.
    """
    found, sees_shared = open_ids(user, action), may(user, shared or action)
    if found is None:
        return queryset if sees_shared else queryset.filter(**{f"{path}__isnull": False})
    condition = Q(**{f"{path}__in": found})
    if sees_shared:
        condition |= Q(**{f"{path}__isnull": True})
    return queryset.filter(condition)


def require_in(user: User | None, action: Action, corpus_id: int) -> None:
    """Refuse what the person may not do in the corpus. None is the system, which may do everything.

    Problem: not_found (404) when they may not even look into it, not_allowed (403) when they may only not do this.
    """
    if user is None:
        return
    role = role_in(user, corpus_id)
    if role is None or Action.VIEW not in ALLOWED[role]:
        raise not_found()
    if action not in ALLOWED[role]:
        raise not_allowed()


def may_on(user: User, action: Action, corpus_id: int | None) -> bool:
    """Whether the person may do it in the corpus or, where it belongs to none, on the site."""
    return may(user, action) if corpus_id is None else may_in(user, action, corpus_id)


def not_found() -> Problem:
    """What is said of all that somebody may not see."""
    return Problem("not_found", "There is no such thing.", status=404)


def not_allowed() -> Problem:
    """What is said of what somebody may see, and not do."""
    return Problem("not_allowed", "Your role in this corpus does not allow this.", status=403)
