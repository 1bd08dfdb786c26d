"""A signed word for the script that tells of activity: it stands in for a session where no cookie of ours arrives.

A ticket is good for telling of one person's activity, and for nothing else. Each answer carries a new one until the
working day that began with the first is over; then the script asks for another, which takes a session.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.conf import settings
from django.core import signing
from django.templatetags.static import static
from django.utils import timezone

from crashdesk.accounts.models import User

SALT: Final = "crashdesk.activity"
TICKET_SECONDS: Final = 3600
DAY_SECONDS: Final = 12 * 3600


@dataclass(frozen=True)
class Ticket:
    """Whose it is, and when (seconds since 1970) the first of its row was given."""

    user: User
    since: int


def give(user: User, *, since: int | None = None) -> str:
    """A ticket for the next hour; `since` where it goes on from an earlier one."""
    begun = int(timezone.now().timestamp()) if since is None else since
    return signing.dumps({"user": user.pk, "since": begun}, salt=SALT, compress=False)


def read(text: str) -> Ticket | None:
    """Whose ticket this is; None where it is none of ours, is too old, or its person may no longer sign in."""
    try:
        held = signing.loads(text, salt=SALT, max_age=TICKET_SECONDS)
    except signing.BadSignature:
        return None
    user = User.objects.filter(pk=held["user"], is_active=True).first()
    return Ticket(user, held["since"]) if user is not None else None


def renewed(ticket: Ticket) -> str | None:
    """The next one of the row; None once its day is over."""
    if timezone.now().timestamp() - ticket.since > DAY_SECONDS:
        return None
    return give(ticket.user, since=ticket.since)


def script_address(user: User) -> str:
    """Where a page of another site (Label Studio's) loads the script from, with a ticket for this person in it."""
    return f"{settings.PUBLIC_URL}{static('frontend/activity.js')}?{urlencode({'ticket': give(user)})}"
