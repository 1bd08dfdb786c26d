"""The page of a corpus's review plan. Reading only: a new version is made through the API."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.models import Corpus
from annotations.reviews.models import Strategy
from annotations.reviews.plans import current_plan
from crashdesk.accounts.permissions import Action
from frontend import review_plan
from frontend.pages import check, opened, page


@require_safe
@login_required
@ensure_csrf_cookie
def plan_page(request: HttpRequest, pk: int) -> HttpResponse:
    """How the corpus is reviewed, as a form, and every version there was."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    check(request, Action.ASSIGN, corpus_id=corpus.pk)
    plan = current_plan(corpus)
    shares = [
        ("blind", "Shown without a draft", "The control arm: what people answer when no draft leads them."),
        (
            "double",
            "Answered by two people",
            "Blind to each other; too little agreement goes to a third person.",
        ),
        ("second", "Looked over before approval", "Whoever answered the case cannot approve it."),
    ]
    context = {
        "corpus": corpus,
        "plan": plan,
        "strategies": Strategy.choices,
        "shares": [
            (
                name,
                label,
                words,
                review_plan.percent(getattr(plan, f"{name}_share")),
                getattr(plan, f"{name}_seed"),
            )
            for name, label, words in shares
        ],
        "thresholds": review_plan.thresholds(plan),
        "gold_share": review_plan.percent(plan.gold_share),
        "gold_limit": review_plan.percent(plan.gold_limit),
        "versions": review_plan.versions(corpus),
        "page": "corpora",
    }
    return page(request, "frontend/review_plan/plan.html", context, needs=Action.ASSIGN, corpus_id=corpus.pk)
