"""The page about how far people agree."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from annotations.cases.models import Guideline
from annotations.corpora.access import open_to
from annotations.quality.agreement import report
from annotations.quality.serializers import AgreementQuerySerializer
from crashdesk.accounts.permissions import Action
from frontend import quality
from frontend.narrowing import narrowing
from frontend.pages import check, page

FILTERS = ("corpus", "guideline", "kind", "source", "from", "to", "period")
SHOWN_CHOICES = 500


@require_safe
@login_required
def agreement_page(request: HttpRequest) -> HttpResponse:
    """The agreement report for what the address narrows it to; a filter that makes no sense is told, and not used."""
    user = check(request, Action.EXPORT)
    narrowed, query = narrowing(request, FILTERS, AgreementQuerySerializer, by=user)
    made = report(query.asked, period=query.validated_data["period"])
    context = {
        "report": made,
        "left_out": [
            (words, count)
            for words, count in (
                ("of cases that nobody else reviewed", made.counts.left_out.alone),
                ("of excluded cases", made.counts.left_out.of_excluded_cases),
                ("earlier ones by the same person", made.counts.left_out.repeated),
                ("second looks and adjudications", made.counts.left_out.looked_over),
                ("withdrawn", made.counts.left_out.withdrawn),
                ("skipped", made.counts.left_out.skipped),
                ("still open", made.counts.left_out.open),
            )
            if count
        ],
        "tables": quality.kind_tables(made),
        "arms": list(quality.ARM_WORDS.values()),
        "headlines": [quality.headline_words(of_kind.kind) for of_kind in made.kinds],
        "matrices": quality.matrices(made),
        "details": quality.people_details(made.people),
        "trends": quality.trends(made),
        "sources": quality.group_rows(made.sources),
        "cases": quality.apart_rows(made),
        "given": narrowed.given,
        "query": narrowed.encoded(),
        "refused": narrowed.refused,
        "corpora": open_to(user, Action.EXPORT).order_by("name")[:SHOWN_CHOICES],
        "guidelines": Guideline.objects.all()[:SHOWN_CHOICES],
        "kinds": quality.KIND_WORDS.items(),
        "page": "agreement",
    }
    return page(request, "frontend/quality/agreement.html", context, needs=Action.EXPORT)
