"""What a person sees and may do, corpus by corpus: what lists are narrowed by, and what services ask before they act.

A corpus that somebody may not even look into does not exist for them: they are told "not found", never "not allowed".
The rooms that know corpora use this through annotations.corpora.access.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from django.apps import apps
from django.db import models
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from crashdesk.accounts.models import Membership, Role, User
from crashdesk.accounts.permissions import ALLOWED, Action, may, may_in, role_in
from crashdesk.api.errors import Problem

M = TypeVar("M", bound=models.Model)


@dataclass(frozen=True)
class Reach:
    """The corpora in which somebody may do something: all `but` some, or `only` some."""

    but: frozenset[int] = frozenset()
    only: frozenset[int] | None = None

    @property
    def everywhere(self) -> bool:
        """Whether nothing is left out."""
        return self.only is None and not self.but

    def inside(self, path: str) -> Q:
        """The condition of rows whose corpus, at `path`, is among them."""
        if self.only is not None:
            return Q(**{f"{path}__in": sorted(self.only)})
        return ~Q(**{f"{path}__in": sorted(self.but)}) if self.but else Q()

    def outside(self, path: str) -> Q:
        """The condition of rows whose corpus is not among them."""
        if self.only is not None:
            return ~Q(**{f"{path}__in": sorted(self.only)})
        return Q(**{f"{path}__in": sorted(self.but)})


@dataclass(frozen=True)
class Standing:
    """What somebody is where: on the site (None: inactive), and in the corpora where that says nothing.

    `members`: role by corpus id; `closed`: ids of the corpora that are for members only.
    """

    role: Role | None
    members: Mapping[int, Role]
    closed: frozenset[int]

    def role_in(self, corpus_id: int) -> Role | None:
        """The role in a corpus that exists."""
        if self.role == Role.ADMIN or self.role is None:
            return self.role
        if corpus_id in self.members:
            return self.members[corpus_id]
        return None if corpus_id in self.closed else self.role

    def allowed(self, corpus_id: int) -> frozenset[Action]:
        """What may be done in a corpus that exists."""
        role = self.role_in(corpus_id)
        return ALLOWED[role] if role else frozenset()

    def allowed_somewhere(self) -> frozenset[Action]:
        """What may be done on the site or in any corpus."""
        if self.role is None:
            return frozenset()
        return ALLOWED[self.role].union(*(ALLOWED[role] for role in self.members.values()))

    def reach(self, action: Action) -> Reach:
        """Where the person may do it."""
        if self.role is None:
            return Reach(only=frozenset())
        if self.role == Role.ADMIN:
            return Reach()
        granted = {pk for pk, role in self.members.items() if action in ALLOWED[role]}
        if action not in ALLOWED[self.role]:
            return Reach(only=frozenset(granted))
        return Reach(but=(self.closed | self.members.keys()) - granted)


_remembered: ContextVar[dict[int, Standing] | None] = ContextVar("crashdesk_standings", default=None)


@contextmanager
def remembering() -> Iterator[None]:
    """Inside, everybody's standing is read once: for requests that only read."""
    token = _remembered.set({})
    try:
        yield
    finally:
        _remembered.reset(token)


def remember_while_reading(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: a request that reads asks for the person's standing once, however many lists it narrows."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"}:
            return get_response(request)
        with remembering():
            return get_response(request)

    return answer


def standing(user: User) -> Standing:
    """The person's standing, in two small queries; none for admins, and for somebody inactive."""
    if not user.is_active:
        return Standing(None, {}, frozenset())
    if user.role == Role.ADMIN:
        return Standing(Role.ADMIN, {}, frozenset())
    remembered = _remembered.get()
    if remembered is not None and user.pk in remembered:
        return remembered[user.pk]
    members = Membership.objects.filter(user=user).order_by().values_list("corpus_id", "role")
    corpora: Any = apps.get_model("corpora", "Corpus")._default_manager
    closed = corpora.filter(access="members").order_by().values_list("pk", flat=True)
    found = Standing(Role(user.role), {pk: Role(role) for pk, role in members}, frozenset(closed))
    if remembered is not None:
        remembered[user.pk] = found
    return found


def reach(user: User, action: Action = Action.VIEW) -> Reach:
    """The corpora in which the person may do it."""
    return standing(user).reach(action)


def narrow(
    queryset: QuerySet[M], user: User, path: str = "corpus", *, action: Action = Action.VIEW
) -> QuerySet[M]:
    """Only the rows whose corpus (at `path`) is open to the person.

    The ids of the corpora are looked up before, so that the database plans long lists as without them: nothing is
    added where all are open, else a few ids, usually of those that are not.
    """
    found = reach(user, action)
    return queryset if found.everywhere else queryset.filter(found.inside(path))


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
    found, sees_shared = reach(user, action), may(user, shared or action)
    if found.everywhere and sees_shared:
        return queryset
    ours = Q(**{f"{path}__isnull": True})
    return queryset.filter(found.inside(path) | ours if sees_shared else found.inside(path) & ~ours)


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
