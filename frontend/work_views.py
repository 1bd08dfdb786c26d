"""The pages of work: one's own queue, the inbox, the lead's board, a case's comments. Changes go through the API."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.cases.models import Case
from annotations.comments.reading import inbox
from annotations.comments.services import mark_case_read
from annotations.corpora.access import open_to
from annotations.corpora.models import Corpus
from annotations.gold.queue import queue_of
from annotations.gold.queue_board import board_of, open_in, waiting_in
from annotations.gold.queue_bulk import JOB, MOST_CASES
from annotations.reviews.models import Purpose
from crashdesk.accounts.permissions import Action
from crashdesk.jobs.models import Job
from frontend.assigning import assigning, assigning_in
from frontend.corpora import origins
from frontend.pages import check, keyset, opened, page
from frontend.work import comments_panel, work_row

PER_PAGE = 50
ASKED = {
    Purpose.ANNOTATE: "First passes",
    Purpose.DOUBLE: "Second passes",
    Purpose.SECOND: "To look over",
    Purpose.ADJUDICATE: "To decide",
}


@require_safe
@login_required
@ensure_csrf_cookie
def work_page(request: HttpRequest) -> HttpResponse:
    """What the person has to do, what they finished today, and the way to the next case."""
    user = check(request, Action.REVIEW)
    queue = queue_of(user)
    context = {
        "rows": [work_row(item) for item in queue.items],
        "finished": queue.finished,
        "paused": queue.paused,
        "looks_over": open_to(user, Action.APPROVE).exists(),
        "decides": open_to(user, Action.ADJUDICATE).exists(),
        "page": "work",
    }
    return page(request, "frontend/work/work.html", context, needs=Action.REVIEW)


@require_safe
@login_required
@ensure_csrf_cookie
def inbox_page(request: HttpRequest) -> HttpResponse:
    """What the person was told, newest first."""
    shown = keyset(inbox(check(request)), request, PER_PAGE)
    return page(request, "frontend/work/inbox.html", {"shown": shown, "rows": shown.rows, "page": "inbox"})


@require_safe
@login_required
@ensure_csrf_cookie
def board_page(request: HttpRequest) -> HttpResponse:
    """Who has what of a corpus, what waits, and what a lead can do about it."""
    user = check(request, Action.ASSIGN)
    corpora = list(open_to(user, Action.ASSIGN))
    corpus = _chosen(corpora, request.GET.get("corpus", ""))
    context: dict[str, Any] = {"corpora": corpora, "corpus": corpus, "page": "board"}
    if corpus is None:
        return page(request, "frontend/work/board.html", context, needs=Action.ASSIGN)
    board = board_of(corpus)
    wanted = request.GET.get("show", "")
    purpose = Purpose(wanted) if wanted in {one.value for one in ASKED} else Purpose.ANNOTATE
    held = wanted == "held"
    person = next(
        (row.person for row in board.people if row.person.username == request.GET.get("person")), None
    )
    source, words = (
        request.GET.get("source", "")[:100],
        request.GET.get("q", "").replace("\0", "").strip()[:200],
    )
    rows: Any = (
        open_in(corpus, person=person.pk if person else None)
        if held
        else waiting_in(corpus, purpose, source=source, words=words)
    )
    shown = None if not held else keyset(rows, request, PER_PAGE)
    context |= {
        "board": board,
        "assigning": assigning_in(corpus),
        "most_cases": MOST_CASES,
        "now": timezone.now(),
        "tabs": [(one.value, label, board.waiting[one.value]) for one, label in ASKED.items()],
        "held_count": sum(row.load + row.gold for row in board.people),
        "show": "held" if held else purpose.value,
        "in_passes": purpose in (Purpose.ANNOTATE, Purpose.DOUBLE),
        "person": person,
        "shown": shown,
        "rows": shown.rows if shown else list(rows[:PER_PAGE]),
        "source": source,
        "q": words,
        "sources": sorted(filter(None, origins(corpus).sources)),
        "per_page": PER_PAGE,
        "query": f"corpus={corpus.pk}&show=held" + (f"&person={person.username}" if person else ""),
    }
    return page(request, "frontend/work/board.html", context, needs=Action.ASSIGN, corpus_id=corpus.pk)


@require_safe
@login_required
def assigning_part(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the board that moves while many cases are assigned."""
    job = opened(request, Job.objects.filter(kind=JOB), pk, "corpus_id")
    context = {"assigning": assigning(job)}
    return page(
        request, "frontend/work/assigning.html", context, needs=Action.ASSIGN, corpus_id=job.corpus_id
    )


@require_safe
@login_required
def comments_part(request: HttpRequest, pk: int) -> HttpResponse:
    """The comments of a case, to be put into its page; the person has read them then."""
    user = check(request)
    case = opened(request, Case.objects.select_related("video__media", "corpus"), pk)
    mark_case_read(person=user, case=case)
    return page(
        request, "frontend/comments/threads.html", comments_panel(case, user), corpus_id=case.corpus_id
    )


def _chosen(corpora: list[Corpus], asked: str) -> Corpus | None:
    """The corpus that the address names, the first where it names none; None where it is none of these."""
    if not asked:
        return corpora[0] if corpora else None
    return next((corpus for corpus in corpora if str(corpus.pk) == asked), None)
