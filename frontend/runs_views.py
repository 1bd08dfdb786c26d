"""The pages of prediction runs. Reading only: a run is started, held and stopped through the API."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe
from rest_framework.exceptions import ValidationError

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus, Guideline
from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus
from crashdesk.accounts.permissions import Action
from crashdesk.accounts.scope import narrow
from crashdesk.api.errors import Problem
from frontend import runs
from frontend.corpora import origins
from frontend.pages import check, keyset, opened, page
from model_assist.crashchat.kinds import PERCEPTION
from model_assist.predictions.api import wish_of
from model_assist.predictions.choosing import ANSWERS
from model_assist.predictions.estimate import estimate
from model_assist.predictions.models import PredictionRun, Priority
from model_assist.predictions.run_cases import STATES, jobs_in, rows_of
from model_assist.registry.models import ModelVersion

RUNS_PER_PAGE = 20
CASES_PER_PAGE = 50
SHOWN_MODELS = 100
MAX_ID = 2**63 - 1
CHOOSABLE = [status for status in CaseStatus.values if status not in (CaseStatus.NEW, CaseStatus.EXCLUDED)]


@require_safe
@login_required
@ensure_csrf_cookie
def run_list(request: HttpRequest) -> HttpResponse:
    """Every prediction run, newest first."""
    found = PredictionRun.objects.select_related("corpus", "model_version", "created_by").order_by("-id")
    shown = keyset(narrow(found, check(request)), request, RUNS_PER_PAGE)
    context = {"rows": runs.run_rows(shown.rows), "shown": shown, "page": "runs"}
    return page(request, "frontend/runs/list.html", context)


@require_safe
@login_required
@ensure_csrf_cookie
def start_form(request: HttpRequest) -> HttpResponse:
    """What a run shall be asked, about which cases, with a dry run that follows the form."""
    user = check(request, Action.PREDICT)
    corpora = list(open_to(user, Action.PREDICT).filter(Exists(Case.objects.filter(corpus=OuterRef("pk")))))
    corpus = _chosen(corpora, request.GET.get("corpus", ""))
    context: dict[str, Any] = {"corpora": corpora, "corpus": corpus, "page": "runs"}
    if corpus is not None:
        found = origins(corpus)
        context |= {
            "guidelines": Guideline.objects.filter(cases__corpus=corpus).distinct().order_by("-id"),
            "models": ModelVersion.objects.order_by("-in_use", "-id")[:SHOWN_MODELS],
            "kinds": [(kind.value, kind.value in PERCEPTION) for kind in Kind],
            "priorities": Priority.choices,
            "normal": Priority.NORMAL.value,
            "statuses": CHOOSABLE,
            "answers": ANSWERS,
            "sources": sorted(filter(None, found.sources)),
            "splits": sorted(filter(None, found.splits)),
        }
    return page(request, "frontend/runs/start.html", context, needs=Action.PREDICT)


@require_POST  # a list of many cases is too long for an address
@login_required
def start_preview(request: HttpRequest) -> HttpResponse:
    """The dry run of what the form says, and the request that would start it. Changes nothing."""
    user = check(request, Action.PREDICT)
    body = runs.body_of(request.POST)
    context: dict[str, Any] = {"body": body}
    try:
        context["found"] = estimate(wish_of(body, user))
    except ValidationError as error:
        context["wrong"] = runs.complaints(error.detail)
    except Problem as problem:
        context |= {"message": problem.message, "wrong": runs.complaints(problem.fields)}
    return page(request, "frontend/runs/parts/preview.html", context, needs=Action.PREDICT)


@require_safe
@login_required
@ensure_csrf_cookie
def run_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: what it was asked, how far it is, and its cases by state."""
    found = PredictionRun.objects.select_related("corpus", "guideline", "model_version", "created_by")
    run = opened(request, found, pk)
    state = request.GET.get("state", "")
    if state and state not in STATES:
        raise Http404(f"no state {state!r}")
    moving = runs.shown(run)
    listed = keyset(jobs_in(run, state), request, CASES_PER_PAGE)
    context = {
        "run": run,
        "moving": moving,
        "asked": runs.asked(run),
        "kinds": runs.kinds_of(run),
        "state": state,
        "tabs": runs.tabs(moving.progress, state),
        "rows": rows_of(listed.rows),
        "shown": listed,
        "query": f"state={state}" if state else "",
        "page": "runs",
    }
    return page(request, "frontend/runs/run.html", context, corpus_id=run.corpus_id)


@require_safe
@login_required
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of a run's page that moves."""
    run = opened(request, PredictionRun.objects.all(), pk)
    context = {"run": run, "moving": runs.shown(run)}
    return page(request, "frontend/runs/parts/progress.html", context, corpus_id=run.corpus_id)


def _chosen(corpora: list[Corpus], asked: str) -> Corpus | None:
    """The corpus that the address names, or the only one there is."""
    if asked.isascii() and asked.isdigit() and int(asked) <= MAX_ID:
        return next((corpus for corpus in corpora if corpus.pk == int(asked)), None)
    return corpora[0] if len(corpora) == 1 else None
