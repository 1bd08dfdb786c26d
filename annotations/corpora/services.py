"""Corpora, the start of imports, and the processing of media: every write of this room but the import itself."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from annotations.corpora.access import require
from annotations.corpora.importers.column_mapping import check_mapping
from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.models import Corpus, ImportFormat, ImportRun
from annotations.corpora.processing import process_media
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue

__all__ = ["begin_import", "create_corpus", "ensure_corpus", "process_media", "start_import"]


@transaction.atomic
def create_corpus(*, name: str, licence: str, terms: str, by: User | None) -> Corpus:
    """A new corpus. Problem corpus_exists when the name is taken."""
    try:
        with transaction.atomic():
            corpus = Corpus.objects.create(name=name, licence=licence, terms=terms, created_by=by)
    except IntegrityError as error:
        raise Problem(
            "corpus_exists", f"There is a corpus {name!r} already.", fields={"name": ["is taken"]}
        ) from error
    record(actor=by, verb="corpus.created", subject=corpus, data={"name": name})
    return corpus


@transaction.atomic
def ensure_corpus(*, name: str, by: User | None) -> Corpus:
    """The corpus of that name, made when absent."""
    corpus, created = Corpus.objects.get_or_create(name=name, defaults={"created_by": by})
    if created:
        record(actor=by, verb="corpus.created", subject=corpus, data={"name": name})
    return corpus


def _checked_path(
    format: str,  # noqa: A002
    path: Path,
) -> Path:
    path = path.resolve()
    folder_only = FORMATS[format].folder_only
    if not (path.is_dir() if folder_only else path.exists()):
        wanted = "folder" if folder_only else "file or folder"
        raise Problem(
            "import_path_missing",
            f"There is no {wanted} {path}.",
            fields={"path": [f"no such {wanted}"]},
            status=400,
        )
    if len(str(path)) > 500:
        raise Problem(
            "import_path_too_long", "The path is too long.", fields={"path": ["too long"]}, status=400
        )
    return path


def _column_mapping(corpus: Corpus, given: dict[str, Any] | None) -> dict[str, Any]:
    """The mapping of a table's columns: the one given, kept with the corpus, or the one that the corpus keeps."""
    if given is not None:
        if problems := check_mapping(given):
            fields: dict[str, list[str]] = {}
            for problem in problems:
                fields.setdefault(f"options.mapping.{problem.field}", []).append(problem.message)
            raise Problem("invalid_column_mapping", problems[0].message, fields=fields, status=400)
        Corpus.objects.filter(pk=corpus.pk).update(column_mapping=given)
        return given
    mapping: dict[str, Any] = corpus.column_mapping
    if not mapping:
        raise Problem(
            "column_mapping_missing", f"{corpus.name} has no column mapping yet.",
            fields={"options": ["needs a mapping of the table's columns"]}, status=400,
        )  # fmt: skip
    return mapping


@transaction.atomic
def begin_import(
    *,
    corpus_name: str,
    format: str,  # noqa: A002
    path: Path,
    by: User | None,
    options: dict[str, Any] | None = None,
) -> ImportRun:
    """Note a coming import of any path on this machine. Problem when the format is unknown or the path is not there,
    and where the person may not import into the corpus.

    `options`: what the format needs to be told. A table's column mapping is kept with the corpus, and a later import
    of a table that names none uses it.
    """
    if format not in FORMATS:
        known = ", ".join(FORMATS)
        raise Problem(
            "unknown_format",
            f"{format!r} is not one of {known}.",
            fields={"format": [f"one of {known}"]},
            status=400,
        )
    path = _checked_path(format, path)
    corpus = ensure_corpus(name=corpus_name, by=by)
    require(by, Action.IMPORT, corpus)
    options = dict(options or {})
    if format == ImportFormat.TABLE:
        options["mapping"] = _column_mapping(corpus, options.get("mapping"))
    run = ImportRun.objects.create(
        corpus=corpus, format=format, path=str(path), options=options, created_by=by
    )
    record(
        actor=by,
        verb="import.started",
        subject=run,
        data={"corpus": corpus_name, "format": format, "path": str(path)},
    )
    return run


@transaction.atomic
def start_import(
    *,
    corpus_name: str,
    format: str,  # noqa: A002
    path: Path,
    by: User | None,
    options: dict[str, Any] | None = None,
) -> tuple[ImportRun, Job]:
    """Queue an import of a folder below one of IMPORT_ROOTS. Problem when the path lies elsewhere or is not there."""
    roots = [Path(root).resolve() for root in settings.IMPORT_ROOTS]
    if not any(path.resolve().is_relative_to(root) for root in roots):
        where = ", ".join(str(root) for root in roots) or "nowhere: CRASHDESK_IMPORT_ROOTS is empty"
        raise Problem(
            "import_path_outside_roots", f"Imports are read from below {where}.",
            fields={"path": ["lies outside the import folders"]}, status=400,
        )  # fmt: skip
    run = begin_import(corpus_name=corpus_name, format=format, path=path, by=by, options=options)
    job = enqueue(
        "import", {"import_run_id": run.pk}, by=by, group=f"import:{run.pk}", corpus_id=run.corpus_id
    )
    ImportRun.objects.filter(pk=run.pk).update(job_id=job.pk)
    run.job_id = job.pk
    return run, job
