"""What the page of the audit log shows: filters, and each row in words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict
from django.urls import reverse

from annotations.corpora.models import Corpus
from crashdesk.audit.models import AuditEvent
from frontend.loop import SUBJECTS

FILTERS = ("actor", "verb", "subject_type", "subject_id", "corpus", "of_site", "since", "until")
SHOWN_CHARACTERS = 400
PAGES = {"case": "case", "corpus": "corpus", "video": "video", "importrun": "import", "predictionrun": "run"}
"""Kinds of subjects that have a page, and its name."""


@dataclass(frozen=True)
class EventRow:
    """One row. `url`: the subject's page, '' where it has none; `told`: its data as JSON, shortened to be read."""

    event: AuditEvent
    subject: str
    url: str
    corpus: str
    told: str
    shortened: bool


def rows(events: Sequence[AuditEvent]) -> list[EventRow]:
    """These rows in words, with one query for the names of their corpora."""
    ids = {event.corpus_id for event in events if event.corpus_id is not None}
    names = dict(Corpus.objects.filter(pk__in=ids).values_list("pk", "name"))
    return [_row(event, names) for event in events]


def _row(event: AuditEvent, names: dict[int, str]) -> EventRow:
    told = json.dumps(event.data, ensure_ascii=False) if event.data else ""
    known = names.get(event.corpus_id, f"corpus {event.corpus_id}") if event.corpus_id is not None else ""
    page = PAGES.get(event.subject_type)
    return EventRow(
        event=event,
        subject=f"{SUBJECTS.get(event.subject_type, event.subject_type)} {event.subject_id}",
        url=reverse(page, args=[event.subject_id]) if page else "",
        corpus=known,
        told=told[:SHOWN_CHARACTERS],
        shortened=len(told) > SHOWN_CHARACTERS,
    )


def given(query: QueryDict) -> dict[str, str]:
    """The filters that the address names, without empty ones."""
    return {name: value for name in FILTERS if (value := query.get(name, "").replace("\0", "").strip()[:200])}


def encoded(filters: dict[str, str]) -> str:
    """As a query string without '?'."""
    query = QueryDict(mutable=True)
    query.update(filters)
    return query.urlencode()
