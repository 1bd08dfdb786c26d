"""Who may see which rows of the audit log."""

from django.db.models import QuerySet

from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow_shared
from crashdesk.audit.models import AuditEvent


def open_events(user: User, action: Action = Action.VIEW) -> QuerySet[AuditEvent]:
    """The rows about corpora in which the person may do `action`; the site's own rows are for its admins."""
    return narrow_shared(
        AuditEvent.objects.all(), user, "corpus_id", action=action, shared=Action.MANAGE_USERS
    )
