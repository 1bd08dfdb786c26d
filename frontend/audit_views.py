"""The pages of a corpus's audit: the report, and all clips of one finding."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.cases.models import Case
from annotations.corpora.models import Corpus
from annotations.corpus_audit.models import CorpusAudit
from annotations.corpus_audit.services import standings, videos_of
from crashdesk.accounts.scope import narrow
from frontend import audit as shown_audit
from frontend.access import person
from frontend.pages import keyset, opened, page

CLIPS_PER_PAGE = 100


def _audit(request: HttpRequest, corpus: Corpus) -> CorpusAudit | None:
    """The audit that the address asks for (?audit=id), else the newest. Http404 for one of another corpus."""
    audits = CorpusAudit.objects.filter(corpus=corpus).select_related("created_by")
    wanted = request.GET.get("audit", "")
    if not wanted:
        return audits.first()
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) < 19):
        raise Http404("no such audit")
    return get_object_or_404(audits, pk=int(wanted))


@require_safe
@login_required
@ensure_csrf_cookie
def audit_page(request: HttpRequest, pk: int) -> HttpResponse:
    """What the newest audit (or ?audit=id) found, worst first, with plots, examples and what to do."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    audit = _audit(request, corpus)
    context: dict[str, Any] = {
        "corpus": corpus,
        "audit": audit,
        "job": shown_audit.open_job(corpus),
        "page": "corpora",
    }
    if audit is not None:
        cards = shown_audit.cards(audit)
        context |= {
            "report": audit.report,
            "cards": cards,
            "tallies": shown_audit.tallies(cards),
            "distributions": shown_audit.distributions(audit.report),
            "since": shown_audit.since_before(audit),
            "audits": CorpusAudit.objects.filter(corpus=corpus)[: shown_audit.SHOWN_AUDITS],
        }
    return page(request, "frontend/audit.html", context, corpus_id=corpus.pk)


@require_safe
@login_required
def audit_clips(request: HttpRequest, pk: int) -> HttpResponse:
    """All clips of one finding (?code=…&subject=…), page by page."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    audit = _audit(request, corpus)
    code, subject = (request.GET.get(name, "").replace("\0", "") for name in ("code", "subject"))
    clips = audit.clips.filter(code=code, subject=subject).first() if audit else None
    if audit is None or clips is None:
        raise Http404("no such finding")
    shown = keyset(narrow(videos_of(clips), person(request)), request, CLIPS_PER_PAGE)
    cases = dict(
        Case.objects.filter(video__in=[video.pk for video in shown.rows])
        .order_by("id")
        .values_list("video_id", "id")
    )
    (standing,) = [
        s for s in standings(audit) if (s.finding["code"], s.finding["subject"]) == (code, subject)
    ]
    context = {
        "corpus": corpus,
        "audit": audit,
        "finding": standing.finding,
        "title": shown_audit.title(standing.finding),
        "rows": [(video, cases.get(video.pk)) for video in shown.rows],
        "shown": shown,
        "page": "corpora",
    }
    return page(request, "frontend/audit_clips.html", context, corpus_id=corpus.pk)
