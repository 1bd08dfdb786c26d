"""The pages of corpora and of single videos. Reading only: every change goes through the API."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.access import open_to
from annotations.corpora.duplicates.opening import open_clusters
from annotations.corpora.models import (
    Corpus,
    DuplicateCluster,
    MediaState,
    SourceRecord,
    Upload,
    UploadState,
    Video,
)
from annotations.corpora.restricted import seen_by
from frontend import corpora, corpora_clip, corpora_videos
from frontend.corpora_videos import VideoFilters
from frontend.pages import check, keyset, opened, page
from frontend.timeline import timeline

CORPORA_PER_PAGE = 50
VIDEOS_PER_PAGE = 24
IMPORTS_PER_PAGE = 30
SHOWN_UPLOADS = 20
SHOWN_SOURCES = 500


@require_safe
@login_required
@ensure_csrf_cookie
def corpus_list(request: HttpRequest) -> HttpResponse:
    """All corpora, with what they hold."""
    shown = keyset(open_to(check(request)).order_by("name"), request, CORPORA_PER_PAGE)
    context = {"rows": corpora.corpus_rows(shown.rows), "shown": shown, "page": "corpora"}
    return page(request, "frontend/corpora/list.html", context)


@require_safe
@login_required
@ensure_csrf_cookie
def corpus_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One corpus: what it holds, what was found, where it came from."""
    corpus = opened(request, Corpus.objects.select_related("created_by"), pk, "pk")
    uploads = Upload.objects.filter(corpus=corpus, state=UploadState.OPEN).select_related("created_by")
    context = {
        "corpus": corpus,
        "facts": corpora.corpus_facts(corpus, check(request)),
        "uploads": uploads[:SHOWN_UPLOADS],
        "upload_max": settings.UPLOAD_MAX_BYTES,
        "bucket_roots": [str(root) for root in settings.BUCKET_ROOTS],
        "page": "corpora",
    }
    return page(request, "frontend/corpora/corpus.html", context, corpus_id=corpus.pk)


@require_safe
@login_required
@ensure_csrf_cookie
def corpus_imports(request: HttpRequest, pk: int) -> HttpResponse:
    """Every import into a corpus, newest first."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    shown = keyset(corpus.imports.order_by("-id"), request, IMPORTS_PER_PAGE)
    context = {
        "corpus": corpus,
        "imports": corpora.import_rows(shown.rows),
        "shown": shown,
        "page": "corpora",
    }
    return page(request, "frontend/corpora/imports.html", context, corpus_id=corpus.pk)


@require_safe
@login_required
@ensure_csrf_cookie
def video_list(request: HttpRequest, pk: int) -> HttpResponse:
    """A corpus's videos with filters, page by page. They are counted on the first page only."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    user, filters = check(request), VideoFilters.read(request.GET)
    videos = corpora_videos.narrowed(corpus, filters, user)
    found = corpora.origins(corpus)
    shown = keyset(corpora_videos.shown(videos), request, VIDEOS_PER_PAGE)
    context = {
        "corpus": corpus,
        "rows": corpora_videos.rows(shown.rows, user),
        "shown": shown,
        "count": None if request.GET.get("cursor") else videos.count() if filters.encoded() else found.total,
        "filters": filters,
        "query": filters.encoded(),
        "states": corpora.MEDIA_WORDS,
        "sources": sorted(filter(None, found.sources))[:SHOWN_SOURCES],
        "splits": sorted(filter(None, found.splits)),
        "codes": corpora.finding_codes(corpus, user),
        "page": "corpora",
    }
    return page(request, "frontend/corpora/videos.html", context, corpus_id=corpus.pk)


@require_safe
@login_required
@ensure_csrf_cookie
def video_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One video: the clip, its measures, what was found, where it came from, and who shows the same."""
    video = opened(request, Video.objects.select_related("media", "corpus"), pk)
    user, media = check(request), video.media
    clusters = DuplicateCluster.objects.filter(members__video=video)
    clip = timeline(media, drafts={}, human={}, approved={})
    context = {
        "video": video,
        "media": media,
        "timeline": {**clip, "rows": []},
        "playable": clip["fps"] is not None,
        "media_facts": corpora_clip.media_facts(media) if media else [],
        "video_facts": corpora_clip.video_facts(video),
        "times": corpora_clip.time_facts(media.times) if media and media.state == MediaState.READY else None,
        "chart": {"width": corpora_clip.WIDTH, "height": corpora_clip.HEIGHT},
        "findings": seen_by(video.findings.all(), user),
        "records": corpora_clip.record_rows(video),
        "others": corpora_clip.others(video, user),
        "cluster": open_clusters(clusters, user).values_list("pk", flat=True).first(),
        "cases": video.cases.select_related("guideline"),
        "page": "corpora",
    }
    return page(request, "frontend/corpora/video.html", context, corpus_id=video.corpus_id)


@require_safe
@login_required
def source_record(request: HttpRequest, pk: int, record: int) -> HttpResponse:
    """One row of an imported file about a video, whole, as JSON."""
    check(request)
    found = opened(request, SourceRecord.objects.filter(video=pk), record, "video__corpus")
    return JsonResponse({"file": found.file, "row": found.row, "record": found.record})
