"""The page about effort."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotations.cases.models import Guideline
from annotations.corpora.access import open_to
from annotations.effort.report import report
from annotations.effort.serializers import EffortQuerySerializer
from crashdesk.accounts.permissions import Action
from frontend import effort
from frontend.narrowing import narrowing
from frontend.pages import check, page

FILTERS = ("corpus", "guideline", "person", "source", "from", "to", "period")
SHOWN_CHOICES = 500


@require_safe
@login_required
def effort_page(request: HttpRequest) -> HttpResponse:
    """The report on effort for what the address narrows it to; a filter that makes no sense is told, and not used."""
    user = check(request, Action.EXPORT)
    narrowed, query = narrowing(request, FILTERS, EffortQuerySerializer, by=user)
    made = report(query.asked, period=query.validated_data["period"])
    context = {
        "report": made,
        "comparison": made.comparison,
        "headline": effort.headline(made.comparison),
        "anchoring": effort.anchoring_rows(made.comparison.anchoring),
        "overall": effort.times_row(made.overall),
        "arms": effort.arm_rows(made),
        "people": [effort.times_row(one) for one in made.people],
        "periods": [effort.times_row(one) for one in made.periods],
        "plot": effort.over_time(made.periods),
        "changes": effort.changes_rows(made.kinds),
        "cases": effort.case_rows(made.longest),
        "given": narrowed.given,
        "query": narrowed.encoded(),
        "refused": narrowed.refused,
        "corpora": open_to(user, Action.EXPORT).order_by("name")[:SHOWN_CHOICES],
        "guidelines": Guideline.objects.all()[:SHOWN_CHOICES],
        "page": "effort",
    }
    return page(request, "frontend/effort/effort.html", context, needs=Action.EXPORT)
