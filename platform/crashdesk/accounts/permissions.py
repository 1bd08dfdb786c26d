"""Who may do what: one table, read by the API, the pages and the admin.

A role holds in one corpus (`role_in`, `may_in`) or, for what belongs to no corpus, on the whole site (`may`). In a
corpus it is the person's membership there; without one it is their role on the site where the corpus is open to
everyone, and none at all where it is for members only. An admin of the site is admin in every corpus.
"""

from enum import StrEnum
from typing import Any

from django.apps import apps
from django.db.models import OuterRef, Subquery

from crashdesk.accounts.models import Membership, Role, User


class Action(StrEnum):
    """Everything a role can be allowed to do."""

    VIEW = "view"
    REVIEW = "review"
    APPROVE = "approve"
    ADJUDICATE = "adjudicate"
    ASSIGN = "assign"
    EXCLUDE = "exclude"
    IMPORT = "import"
    PREDICT = "predict"
    SYNC = "sync"
    SELECT = "select"
    FREEZE = "freeze"
    EXPORT = "export"
    TRAIN = "train"
    PROMOTE = "promote"
    CANCEL = "cancel"
    MANAGE_MEMBERS = "manage_members"
    AUDIT_LOG = "audit_log"
    MANAGE_USERS = "manage_users"


_REVIEWER = {Action.VIEW, Action.REVIEW}
_LEAD = _REVIEWER | {
    Action.APPROVE, Action.EXCLUDE, Action.IMPORT, Action.PREDICT, Action.SYNC, Action.SELECT,
    Action.FREEZE, Action.EXPORT, Action.CANCEL, Action.ADJUDICATE, Action.ASSIGN, Action.MANAGE_MEMBERS,
    Action.AUDIT_LOG,
}  # fmt: skip
_ENGINEER = {
    Action.VIEW, Action.IMPORT, Action.PREDICT, Action.SYNC, Action.SELECT, Action.FREEZE, Action.EXPORT,
    Action.TRAIN, Action.PROMOTE, Action.CANCEL,
}  # fmt: skip

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.ANNOTATOR: frozenset(_REVIEWER),
    Role.REVIEWER: frozenset(_REVIEWER | {Action.APPROVE, Action.ADJUDICATE, Action.EXCLUDE}),
    Role.LEAD: frozenset(_LEAD),
    Role.ENGINEER: frozenset(_ENGINEER),
    Role.ADMIN: frozenset(Action),
}


def may(user: User, action: Action) -> bool:
    """Whether this person's role on the site allows the action. An inactive user may do nothing."""
    return user.is_active and action in ALLOWED[Role(user.role)]


def role_in(user: User, corpus_id: int) -> Role | None:
    """The person's role in a corpus; None where they have none: inactive, not a member, or there is no such corpus."""
    if not user.is_active:
        return None
    if user.role == Role.ADMIN:
        return Role.ADMIN
    member = Membership.objects.filter(user=user, corpus=OuterRef("pk")).values("role")
    corpora: Any = apps.get_model("corpora", "Corpus")._default_manager
    found = corpora.filter(pk=corpus_id).values_list("access", Subquery(member)).first()
    if found is None:
        return None
    access, role = found
    if role is not None:
        return Role(role)
    return Role(user.role) if access == "everyone" else None


def may_in(user: User, action: Action, corpus_id: int) -> bool:
    """Whether this person may do it in that corpus."""
    role = role_in(user, corpus_id)
    return role is not None and action in ALLOWED[role]


def may_somewhere(user: User, action: Action) -> bool:
    """Whether the person's role on the site or in any corpus allows the action: whether it is worth looking where."""
    if may(user, action):
        return True
    return user.is_active and Membership.objects.filter(user=user, role__in=roles_for(action)).exists()


def roles_for(action: Action) -> list[Role]:
    """The roles that may do it."""
    return [role for role in Role if action in ALLOWED[role]]
