"""The page about effort."""

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, QueryDict
from django.views.decorators.http import require_safe

from annotations.cases.models import Guideline
from annotations.corpora.access import open_to
from annotations.effort.report import report
from annotations.effort.serializers import EffortQuerySerializer
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from frontend import effort
from frontend.pages import check, page

FILTERS = ("corpus", "guideline", "person", "source", "from", "to", "period")
SHOWN_CHOICES = 500


@require_safe
@login_required
def effort_page(request: HttpRequest) -> HttpResponse:
    """The report on effort for what the address narrows it to; a filter that makes no sense is told, and not used."""
    user = check(request, Action.EXPORT)
    given = {name: value for name in FILTERS if (value := request.GET.get(name, "").strip())}
    query = EffortQuerySerializer(data=given, context={"by": user})
    try:
        refused = {} if query.is_valid() else dict(query.errors)
    except Problem as problem:  # a corpus that the person may look into, and not export
        raise PermissionDenied(problem.message) from problem
    if refused:
        given = {name: value for name, value in given.items() if name not in refused}
        query = EffortQuerySerializer(data=given, context={"by": user})
        query.is_valid(raise_exception=True)
    made = report(query.asked, period=query.validated_data["period"])
    encoded = QueryDict(mutable=True)
    encoded.update(given)
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
        "given": given,
        "query": encoded.urlencode(),
        "refused": [(name, " ".join(map(str, words))) for name, words in refused.items()],
        "corpora": open_to(user, Action.EXPORT).order_by("name")[:SHOWN_CHOICES],
        "guidelines": Guideline.objects.all()[:SHOWN_CHOICES],
        "page": "effort",
    }
    return page(request, "frontend/effort/effort.html", context, needs=Action.EXPORT)
