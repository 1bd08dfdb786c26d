"""What is not there: answers, clips, cases, sources."""

from collections.abc import Iterator

import numpy as np

from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.columns import MISSING, TIMES, UNKNOWN, Columns, Mask
from annotations.corpus_audit.findings import INFO, WARNING, Finding, examples, percent, plain, rows_of, some


def check(columns: Columns) -> Iterator[Finding]:
    """Missing answers per kind, clips without answers, media or cases, and what the other checks cannot see."""
    yield from _answers(columns)
    total = len(columns)
    has_media = columns.sha256.known
    findings = [
        (
            "media_missing", WARNING, ~has_media & (columns.cases != UNKNOWN),
            "{} of {} {} only annotations: there is no clip to watch.",
            ("has", "have"), "Import the clips beside the annotations, or leave these cases out of reviews.",
        ),
        (
            "media_pending", INFO, _is(columns, "pending"),
            "{} of {} {} not been examined yet: lengths, rates and sizes are not known.",
            ("has", "have"), "Wait for the media jobs to end; the audit runs again then.",
        ),
        (
            "media_unusable", WARNING, _is(columns, "unusable"), "{} of {} {} be decoded.",
            ("cannot", "cannot"), "See the clips' findings; fetch them anew, or exclude them.",
        ),
        (
            "media_without_case", WARNING, has_media & (columns.cases == UNKNOWN),
            "{} of {} {} a file but no case: nobody will ever be asked about it.",
            ("has", "have"), "Import the corpus again under its guideline, which makes the missing cases.",
        ),
        (
            "cases_excluded", INFO, columns.excluded,
            "{} of {} {} excluded; answers given there are not counted in this audit.", ("is", "are"),
            "Nothing, unless the reasons are no longer true.",
        ),
        (
            "source_missing", WARNING, ~columns.source.known,
            "{} of {} {} no source, so nothing shows whether the source gives answers away.",
            ("names", "name"), "Give the source in the import (a column or a mapping).",
        ),
        (
            "recording_unknown", INFO, ~columns.recording_known | ~columns.recording.known,
            "{} of {} {} no recording but the own name: clips cut from the same footage would not be seen.",
            ("has", "have"), "Run the search for duplicates, or give the recording in the import.",
        ),
    ]  # fmt: skip
    for code, severity, where, sentence, verbs, action in findings:
        rows = rows_of(where)
        if len(rows):
            verb = verbs[0] if len(rows) == 1 else verbs[1]
            yield Finding(
                code=code, subject="", severity=severity, count=len(rows), total=total,
                sentence=sentence.format(some(len(rows), "clip"), f"{total:,}", verb), action=action,
                examples=examples(columns, rows.tolist()), rows=rows,
            )  # fmt: skip


def _is(columns: Columns, state: str) -> Mask:
    found = [code for code, value in enumerate(columns.media_state.values) if value == state]
    return np.isin(columns.media_state.codes, found)


def _answers(columns: Columns) -> Iterator[Finding]:
    """A clip without any answer is one finding; among the others, each kind that lacks some."""
    there = ~columns.excluded
    silent = there & (columns.states == MISSING).all(axis=1)
    rows = rows_of(silent)
    if len(rows):
        yield Finding(
            code="clips_unanswered", subject="", severity=INFO, count=len(rows), total=int(there.sum()),
            sentence=(f"{some(len(rows), 'clip')} of {int(there.sum()):,} "
                f"{'has' if len(rows) == 1 else 'have'} no answer "
            "of a person or an import yet."),
            action="Have the model draft answers and people review them.",
            examples=examples(columns, rows.tolist()), rows=rows,
        )  # fmt: skip
    for kind, name in enumerate(KINDS):
        asked = there & ~silent
        if kind in TIMES:
            asked &= columns.labels != 0
        lacking = asked & (columns.states[:, kind] == MISSING)
        count, total = int(lacking.sum()), int(asked.sum())
        if not count:
            continue
        rows = rows_of(lacking)
        none = count == total
        yield Finding(
            code="kind_unanswered" if none else "answers_missing",
            subject=name,
            severity=INFO if none else WARNING,
            count=count,
            total=total,
            sentence=(
                f"No clip has an answer on {plain(name)} yet, of {total:,} that have others."
                if none
                else f"{some(count, 'clip')} of {total:,} {'lacks' if count == 1 else 'lack'} an answer on "
                f"{plain(name)} ({percent(count / total)})."
            ),
            action="The format does not bring it: draft it, then review."
            if none
            else (
                "Ask the origin for the missing rows, or have them answered; dataset versions leave out cases without "
                "six answers."
            ),
            examples=examples(columns, rows.tolist()),
            rows=rows,
        )
