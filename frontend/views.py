"""The pages. Reading only: every change goes through the API."""

from itertools import islice

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.cases.models import Case, CaseStatus, in_review_order
from annotations.cases.sight import sight_of
from annotations.cases.workflow import TRANSITIONS
from annotations.comments.services import mark_case_read
from annotations.corpora.access import open_to
from annotations.corpora.restricted import seen_by
from annotations.corpora.sources import sources
from annotations.labelstudio.push import deep_link
from crashdesk.accounts.scope import narrow, reach
from crashdesk.audit.services import history
from frontend import records
from frontend.answers import answers_of
from frontend.loop import loop
from frontend.pages import check, keyset, opened, page
from frontend.queue import REVIEW, Filters, counted, narrowed, neighbours, rows
from frontend.timeline import timeline
from frontend.work import comments_panel

PAGE_SIZE = 24
SHOWN_HISTORY = 200


@require_safe
@login_required
@ensure_csrf_cookie
def home(request: HttpRequest) -> HttpResponse:
    """The loop as a row of numbers, what runs, and the newest records."""
    user = check(request)
    context = {
        "loop": loop(user),
        "corpora": records.corpora(user),
        "versions": records.dataset_versions(user),
        "runs": records.training_runs(user),
        "models": records.model_versions(user),
        "chart": {"width": records.WIDTH, "height": records.HEIGHT},
        "page": "home",
    }
    return page(request, "frontend/home.html", context)


@require_safe
@login_required
@ensure_csrf_cookie
def case_list(request: HttpRequest) -> HttpResponse:
    """Cases with filters, in the order that the person may see."""
    user = check(request)
    filters = Filters.read(request.GET)
    cases = narrowed(filters, user)
    whole = Case.objects.annotate(rank=in_review_order()).select_related("video__media", "corpus")
    shown = keyset(cases, request, PAGE_SIZE, whole=whole)
    context = {
        "rows": rows(shown.rows, user),
        "shown": shown,
        "count": counted(cases),
        "filters": filters,
        "query": filters.encoded(),
        "corpora": open_to(user),
        "sources": sources(reach(user)),
        "statuses": [REVIEW, *CaseStatus.values],
        "any_case": bool(shown.rows) or narrow(Case.objects.all(), user).exists(),
        "page": "cases",
    }
    return page(request, "frontend/case_list.html", context)


@require_safe
@login_required
@ensure_csrf_cookie
def case_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One case: the clip, the timeline, the six answers, what may be done, and what was done."""
    user = check(request)
    case = opened(request, Case.objects.select_related("video__media", "corpus", "guideline"), pk)
    filters = Filters.read(request.GET)
    media = case.video.media
    veil = sight_of(user).of(case)
    case = veil.over(case)
    answers = answers_of(case, duration_us=media.duration_us if media else None, person=user, veil=veil)
    lane = timeline(media, drafts=answers.drafts, human=answers.human, approved=answers.approved)
    moves = TRANSITIONS[CaseStatus(case.status)]
    context = {
        "case": case,
        "media": media,
        "answers": answers,
        "timeline": lane,
        "playable": lane["fps"] is not None,
        "can": {
            "approve": case.status == CaseStatus.SUBMITTED and not veil.status,
            "return": CaseStatus.RETURNED in moves,
            "exclude": CaseStatus.EXCLUDED in moves,
            "reopen": case.status == CaseStatus.EXCLUDED,
            "predict": lane["fps"] is not None and case.status not in (CaseStatus.NEW, CaseStatus.EXCLUDED),
        },
        "labelstudio_task": deep_link(case),
        "history": list(islice(veil.events(history(case), user), SHOWN_HISTORY)),
        "clip_findings": seen_by(case.video.findings.all(), user),
        "around": neighbours(case, filters, user),
        "query": filters.encoded(),
        "page": "cases",
        **comments_panel(case, user),
    }
    mark_case_read(person=user, case=case)
    return page(request, "frontend/case.html", context, corpus_id=case.corpus_id)
