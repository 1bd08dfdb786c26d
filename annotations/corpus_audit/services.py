"""Asking for audits, and what people say about their findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import BigIntegerField, Func, QuerySet
from django.utils import timezone

from annotations.corpora.models import Corpus, Video
from annotations.corpus_audit.findings import SEVERITIES
from annotations.corpus_audit.models import CorpusAudit, FindingAcknowledgement, FindingClips
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue_once

KIND: Final = "audit"


def enqueue_audit(corpus_id: int, *, by: User | None) -> Job:
    """The job that audits a corpus: the one that waits already, if any. Its result is {"audit": id, "new": bool}."""
    return enqueue_once(KIND, {"corpus_id": corpus_id}, by=by, group=f"audit:{corpus_id}")


def newest(corpus: Corpus) -> CorpusAudit | None:
    """The corpus's last audit."""
    return CorpusAudit.objects.filter(corpus=corpus).first()


def before(audit: CorpusAudit) -> CorpusAudit | None:
    """The audit of the same corpus before this one."""
    return CorpusAudit.objects.filter(corpus=audit.corpus_id, pk__lt=audit.pk).first()


def videos_of(clips: FindingClips) -> QuerySet[Video]:
    """All clips of a finding, by name. Clips that have gone since are not among them."""
    ids = FindingClips.objects.filter(pk=clips.pk).values_list(_Unnest("videos"))
    return Video.objects.filter(pk__in=ids).order_by("name", "id")


class _Unnest(Func):
    function = "unnest"
    set_returning = True
    output_field = BigIntegerField()


@dataclass(frozen=True)
class Standing:
    """A finding of an audit with what people have said of it.

    `acknowledgement`: the standing one, if any. `outgrown`: it spoke of less, so the finding is open again. `open`:
    somebody should still look at it.
    """

    finding: dict[str, Any]
    acknowledgement: FindingAcknowledgement | None
    outgrown: bool

    @property
    def open(self) -> bool:
        return self.acknowledgement is None or self.outgrown


def standings(audit: CorpusAudit) -> list[Standing]:
    """Every finding of an audit with its standing acknowledgement, in the report's order."""
    return standings_of([audit])[audit.pk]


def standings_of(audits: Sequence[CorpusAudit]) -> dict[int, list[Standing]]:
    """The same for audits of several corpora, by audit id, in one query."""
    rows = FindingAcknowledgement.objects.filter(
        corpus__in=[audit.corpus_id for audit in audits], withdrawn_at=None
    ).select_related("by")
    said = {(row.corpus_id, row.code, row.subject): row for row in rows}
    return {
        audit.pk: [
            Standing(finding, found, found is not None and _outgrown(finding, found))
            for finding in audit.report["findings"]
            for found in [said.get((audit.corpus_id, finding["code"], finding["subject"]))]
        ]
        for audit in audits
    }


def _outgrown(finding: dict[str, Any], said: FindingAcknowledgement) -> bool:
    worse = SEVERITIES.index(finding["severity"]) > SEVERITIES.index(said.severity)
    return worse or finding["count"] > said.count


@transaction.atomic
def acknowledge(
    *, audit: CorpusAudit, code: str, subject: str, reason: str, by: User
) -> FindingAcknowledgement:
    """Accept a finding of this audit, as large as it is there, for this and later audits of the corpus.

    An acknowledgement that the finding has outgrown is withdrawn in its favour. Problem when the audit has no such
    finding or it is acknowledged already.
    """
    Corpus.objects.select_for_update(no_key=True).get(pk=audit.corpus_id)  # one word on a finding at a time
    finding = next(
        (f for f in audit.report["findings"] if (f["code"], f["subject"]) == (code, subject)), None
    )
    if finding is None:
        raise Problem(
            "no_such_finding",
            f"{audit} has no finding {code} {subject}".rstrip() + ".",
            fields={"code": [code], "subject": [subject]},
            status=404,
        )
    standing = FindingAcknowledgement.objects.filter(
        corpus=audit.corpus_id, code=code, subject=subject, withdrawn_at=None
    )
    said = standing.first()
    if said is not None and not _outgrown(finding, said):
        raise Problem(
            "already_acknowledged", f"{said.by} has acknowledged this finding already: {said.reason}"
        )
    standing.update(withdrawn_at=timezone.now(), withdrawn_by=by)
    made = FindingAcknowledgement.objects.create(
        corpus_id=audit.corpus_id, code=code, subject=subject, count=finding["count"], severity=finding["severity"],
        reason=reason, by=by,
    )  # fmt: skip
    data = {"code": code, "subject": subject, "count": finding["count"], "reason": reason}
    record(actor=by, verb="finding.acknowledged", subject=made.corpus, data=data)
    return made


@transaction.atomic
def withdraw(*, acknowledgement: FindingAcknowledgement, by: User) -> FindingAcknowledgement:
    """Take an acknowledgement back: its finding is open again. Problem when that has been done already."""
    rows = FindingAcknowledgement.objects.filter(pk=acknowledgement.pk, withdrawn_at=None)
    if not rows.update(withdrawn_at=timezone.now(), withdrawn_by=by):
        raise Problem("already_withdrawn", "This acknowledgement has been withdrawn already.")
    acknowledgement.refresh_from_db()
    data = {"code": acknowledgement.code, "subject": acknowledgement.subject}
    record(actor=by, verb="finding.reopened", subject=acknowledgement.corpus, data=data)
    return acknowledgement
