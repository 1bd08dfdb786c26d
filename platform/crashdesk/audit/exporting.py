"""The audit log as text, line by line: a log of any length is never held in memory."""

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db.models import QuerySet

from crashdesk.audit.models import AuditEvent

COLUMNS: Final = ("id", "at", "actor", "verb", "subject_type", "subject_id", "corpus_id", "data")
CHUNK: Final = 2000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class _Echo:
    """What csv.writer writes to: it hands the line back."""

    def write(self, line: str) -> str:
        return line


def csv_lines(events: QuerySet[AuditEvent]) -> Iterator[str]:
    """CSV with a heading; times in ISO 8601 (UTC), `data` as JSON.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it (OWASP, CSV injection).
    """
    writer = csv.writer(_Echo())
    yield writer.writerow(COLUMNS)
    for row in _rows(events):
        cells = {**row, "actor": _plain(row["actor"]), "data": json.dumps(row["data"], ensure_ascii=False)}
        yield writer.writerow([cells[name] for name in COLUMNS])


def json_lines(events: QuerySet[AuditEvent]) -> Iterator[str]:
    """A JSON object a line, with the same names; `corpus_id` null for the site's own rows."""
    for row in _rows(events):
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _rows(events: QuerySet[AuditEvent]) -> Iterator[dict[str, Any]]:
    for row in events.values(*COLUMNS).iterator(CHUNK):
        yield {**row, "at": row["at"].isoformat()}


def _plain(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


FORMATS: Final[dict[str, tuple[Callable[[QuerySet[AuditEvent]], Iterator[str]], str]]] = {
    "csv": (csv_lines, "text/csv; charset=utf-8"),
    "jsonl": (json_lines, "application/jsonl; charset=utf-8"),
}
"""By the end of the file's name: what writes it, and its content type."""
