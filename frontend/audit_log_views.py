"""The page of the audit log."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotations.corpora.access import open_to
from crashdesk.accounts.permissions import Action, may
from crashdesk.audit.api import AuditFilter
from crashdesk.audit.opening import open_events
from frontend import audit_log
from frontend.pages import check, keyset, page

EVENTS_PER_PAGE = 50


@require_safe
@login_required
def event_list(request: HttpRequest) -> HttpResponse:
    """Who did what, newest first, where the person may read the log; a filter that makes no sense is told."""
    user = check(request, Action.AUDIT_LOG)
    given = audit_log.given(request.GET)
    events = open_events(user, Action.AUDIT_LOG).order_by("-id")
    filters = AuditFilter(given, queryset=events)
    refused = {} if filters.is_valid() else dict(filters.errors)
    if refused:
        given = {name: value for name, value in given.items() if name not in refused}
        filters = AuditFilter(given, queryset=events)
    shown = keyset(filters.qs, request, EVENTS_PER_PAGE)
    context = {
        "rows": audit_log.rows(shown.rows),
        "shown": shown,
        "given": given,
        "query": audit_log.encoded(given),
        "refused": [(name, " ".join(map(str, words))) for name, words in refused.items()],
        "corpora": open_to(user, Action.AUDIT_LOG).order_by("name"),
        "sees_site": may(user, Action.MANAGE_USERS),
        "page": "audit-log",
    }
    return page(request, "frontend/audit_log/list.html", context, needs=Action.AUDIT_LOG)
