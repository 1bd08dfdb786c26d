"""Who may do what: one table, read by the API, the pages and the admin."""

from enum import StrEnum

from crashdesk.accounts.models import Role, User


class Action(StrEnum):
    """Everything a role can be allowed to do."""

    VIEW = "view"
    REVIEW = "review"
    APPROVE = "approve"
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
    MANAGE_USERS = "manage_users"


_REVIEWER = {Action.VIEW, Action.REVIEW}
_LEAD = _REVIEWER | {
    Action.APPROVE, Action.EXCLUDE, Action.IMPORT, Action.PREDICT, Action.SYNC, Action.SELECT,
    Action.FREEZE, Action.EXPORT, Action.CANCEL,
}  # fmt: skip
_ENGINEER = {
    Action.VIEW, Action.IMPORT, Action.PREDICT, Action.SYNC, Action.SELECT, Action.FREEZE, Action.EXPORT,
    Action.TRAIN, Action.PROMOTE, Action.CANCEL,
}  # fmt: skip

ALLOWED: dict[Role, frozenset[Action]] = {
    Role.ANNOTATOR: frozenset(_REVIEWER),
    Role.REVIEWER: frozenset(_REVIEWER | {Action.APPROVE, Action.EXCLUDE}),
    Role.LEAD: frozenset(_LEAD),
    Role.ENGINEER: frozenset(_ENGINEER),
    Role.ADMIN: frozenset(Action),
}


def may(user: User, action: Action) -> bool:
    """Whether this person's role allows the action. An inactive user may do nothing."""
    return user.is_active and action in ALLOWED[Role(user.role)]
