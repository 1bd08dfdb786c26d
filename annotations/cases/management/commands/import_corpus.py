"""Import annotation files and clips into a corpus, here and now."""

import json
from argparse import ArgumentParser
from pathlib import Path
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.cases.intake import run_import
from annotations.corpora.importers.formats import FORMATS
from annotations.corpora.models import ImportRun
from annotations.corpora.services import begin_import
from crashdesk.api.errors import Problem

SHOWN_REJECTIONS = 20


class Command(BaseCommand):
    help = (
        "Imports annotation files and clips into a corpus and prints a report. Rejected rows are reported and do not "
        "make the command fail. Clips are examined afterwards by the workers of the queue 'media'."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the corpus; made when there is none of that name")
        parser.add_argument("format", choices=list(FORMATS))
        parser.add_argument(
            "path", type=Path, help="folder or file; any path, since you run this on the server"
        )

        parser.add_argument(
            "--mapping",
            type=Path,
            help="JSON file that tells how a table's columns are read; kept with the corpus for later imports",
        )
        parser.add_argument(
            "--options",
            type=json.loads,
            default={},
            help="""what the format needs to be told, as JSON: '{"fps": 25}'""",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        started = monotonic()
        try:
            run = begin_import(
                corpus_name=options["name"], format=options["format"], path=options["path"], by=None,
                options=_told(options["options"], options["mapping"]),
            )  # fmt: skip
            report = run_import(run.pk, progress=self._progress)
        except Problem as problem:
            raise CommandError(problem.message) from problem
        self._print(run, report, monotonic() - started)

    def _progress(self, done: int, total: int | None, message: str) -> None:
        share = f"{100 * done // total:3d} %" if total else ""
        self.stderr.write(f"{share} {message}")

    def _print(self, run: ImportRun, report: dict[str, Any], seconds: float) -> None:
        out = self.stdout.write
        out(
            f"Import {run.pk} into {run.corpus.name}: {seconds:.1f} s, guideline v{report['guideline']['version']}"
        )
        for kind, by_source in report["rows"].items():
            parts = ", ".join(f"{source or '(no source)'} {count}" for source, count in by_source.items())
            out(f"  {kind:24} {sum(by_source.values()):6}  {parts}")
        for title in ("videos", "media", "cases", "answers", "findings"):
            counts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in report[title].items())
            out(f"  {title:24} {counts or 'none'}")
        if report["left_aside_count"]:
            out(
                f"  left aside               {report['left_aside_count']}: {', '.join(report['left_aside'][:5])}"
            )
        out(f"  rejected                 {report['rejected']}")
        for rejection in run.rejections.all()[:SHOWN_REJECTIONS]:
            where = rejection.file + (f" row {rejection.row}" if rejection.row else "")
            out(f"    {where}: {rejection.field} {rejection.reason}".replace(":  ", ": "))
        if report["rejected"] > SHOWN_REJECTIONS:
            out(f"    … and {report['rejected'] - SHOWN_REJECTIONS} more")


def _told(options: Any, mapping: Path | None) -> dict[str, Any]:
    if not isinstance(options, dict):
        raise CommandError(f"--options: a JSON object is needed, not {type(options).__name__}")
    return options | ({"mapping": _mapping(mapping)} if mapping else {})


def _mapping(file: Path) -> dict[str, Any]:
    try:
        mapping = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CommandError(f"{file}: {error}") from error
    if not isinstance(mapping, dict):
        raise CommandError(f"{file}: a JSON object is needed, not {type(mapping).__name__}")
    return mapping
