"""The pages of imports. Reading only: an import is started, cancelled and resumed through the API."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from annotations.corpora.models import Corpus, ImportRun
from crashdesk.accounts.permissions import Action
from frontend import imports, imports_mapping
from frontend.pages import check, keyset, opened, page

REJECTIONS_PER_PAGE = 100


@require_safe
@login_required
@ensure_csrf_cookie
def import_form(request: HttpRequest, pk: int) -> HttpResponse:
    """What to import, from where, and how: the format, a path on the server, the format's options."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    path = request.GET.get("path", "")[:500]
    context = {
        "corpus": corpus,
        "choices": imports.choices(),
        "chosen": request.GET.get("format", ""),
        "path": path,
        "folder": imports.folder(request.GET.get("at", path)[:500]),
        "page": "corpora",
    }
    return page(request, "frontend/imports/form.html", context, needs=Action.IMPORT, corpus_id=corpus.pk)


@require_safe
@login_required
def mapping_form(request: HttpRequest, pk: int) -> HttpResponse:
    """The editor of a table's column mapping, with its first rows, for the page that starts an import."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    check(request, Action.IMPORT, corpus_id=corpus.pk)
    path = imports.below_roots(request.GET.get("path", ""))
    context: dict[str, object] = {"corpus": corpus, "path": path}
    if path is not None:
        found = imports_mapping.first_look(path)
        mapping, own = imports_mapping.starting_mapping(corpus.column_mapping, found)
        context |= {
            "look": found,
            "cells": [[row.get(column, "") for column in found.columns] for row in found.rows],
            "own": own,
            "kept": bool(corpus.column_mapping),
            "fields": imports_mapping.fields_of(mapping),
            "trial": imports_mapping.trial(path, mapping, found.columns),
            "labels": imports_mapping.LABELS,
            "units": imports_mapping.UNITS,
            "delimiters": imports_mapping.DELIMITERS,
        }
    return page(
        request, "frontend/imports/parts/mapping.html", context, needs=Action.IMPORT, corpus_id=corpus.pk
    )


@require_safe
@login_required
def mapping_trial(request: HttpRequest, pk: int) -> HttpResponse:
    """What the mapping in the form would make of the table's first rows."""
    corpus = opened(request, Corpus.objects.all(), pk, "pk")
    check(request, Action.IMPORT, corpus_id=corpus.pk)
    path = imports.below_roots(request.GET.get("path", ""))
    context: dict[str, object] = {"path": path}
    if path is not None:
        mapping = imports_mapping.mapping_of(request.GET)
        found = imports_mapping.first_look(path, str(mapping.get("delimiter", "")))
        context |= {
            "trial": imports_mapping.trial(path, mapping, found.columns),
            "labels": imports_mapping.LABELS,
        }
    return page(
        request, "frontend/imports/parts/trial.html", context, needs=Action.IMPORT, corpus_id=corpus.pk
    )


@require_safe
@login_required
@ensure_csrf_cookie
def import_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One import: how far it is, what came in, what was rejected."""
    run = opened(request, ImportRun.objects.select_related("corpus", "created_by"), pk)
    shown = keyset(run.rejections.order_by("id"), request, REJECTIONS_PER_PAGE)
    context = {
        "run": run,
        "progress": imports.progress(run),
        "shown": shown,
        "reasons": imports.reasons(run),
        "page": "corpora",
    }
    return page(request, "frontend/imports/import.html", context, corpus_id=run.corpus_id)


@require_safe
@login_required
def import_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of an import's page that moves."""
    run = opened(request, ImportRun.objects.all(), pk)
    context = {"run": run, "progress": imports.progress(run)}
    return page(request, "frontend/imports/parts/progress.html", context, corpus_id=run.corpus_id)


@require_safe
@login_required
def rejections_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Every rejected row of an import, as a CSV file, written while it is read."""
    run = opened(request, ImportRun.objects.all(), pk)
    check(request)
    lines = imports.rejections_csv(run)
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="import-{run.pk}-rejections.csv"'
    return response
