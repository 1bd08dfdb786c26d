"""Making an audit: read the corpus, look at it, keep what was found.

Apart from services.py, which web processes load: scipy takes a second and tens of megabytes.
"""

from collections.abc import Callable
from typing import Any, Final

from django.db import transaction

from annotations.corpora.models import Corpus
from annotations.corpus_audit.columns import Columns
from annotations.corpus_audit.findings import SEVERITIES, Finding
from annotations.corpus_audit.loader import load
from annotations.corpus_audit.models import CorpusAudit, FindingClips
from annotations.corpus_audit.report import code_version, findings_of, report_of
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.running import Running

Step = Callable[[int, int, str], None]
_READING: Final = 80
"""Hundredths of an audit that go into reading the rows."""


def audit_corpus(
    corpus: Corpus, *, by: User | None, job_id: int | None = None, step: Step = lambda *_: None
) -> tuple[CorpusAudit, bool]:
    """The audit of the corpus as it is now, and whether it is new: what is unchanged is not audited again.

    A corpus that is back as it was before its newest audit is audited anew: the newest audit speaks of the present.

    `step(done, total, what)` is told of progress, in hundredths, and may raise to stop; then nothing is written.
    """
    columns = load(corpus, step=lambda done, of, what: step(_READING * done // max(of, 1), 100, what))
    if (same := _standing(corpus, columns)) is not None:
        return same, False

    def looking(done: int, of: int, what: str) -> None:
        step(_READING + (99 - _READING) * done // of, 100, f"looking at {what}")

    findings = findings_of(columns, step=looking)
    report = report_of(columns, findings)
    step(100, 100, "writing the report")
    return _keep(corpus, columns, findings, report, by=by, job_id=job_id)


def _standing(corpus: Corpus, columns: Columns) -> CorpusAudit | None:
    """The corpus's newest audit, where it read these very inputs with this very code."""
    newest = CorpusAudit.objects.filter(corpus=corpus).first()
    if newest is None or (newest.inputs_hash, newest.code_version) != (columns.inputs_hash, code_version()):
        return None
    return newest


@transaction.atomic
def _keep(
    corpus: Corpus, columns: Columns, findings: list[Finding], report: dict[str, Any], *, by: User | None,
    job_id: int | None,
) -> tuple[CorpusAudit, bool]:  # fmt: skip
    """Write the audit once: of two that ran at the same time on the same inputs the second finds the first's."""
    Corpus.objects.select_for_update(no_key=True).get(pk=corpus.pk)  # one audit of it is written at a time
    if (same := _standing(corpus, columns)) is not None:
        return same, False
    audit = CorpusAudit.objects.create(
        corpus=corpus, inputs_hash=columns.inputs_hash, code_version=code_version(), report=report, created_by=by,
        job_id=job_id,
    )  # fmt: skip
    FindingClips.objects.bulk_create(
        FindingClips(
            audit=audit,
            code=finding.code,
            subject=finding.subject,
            videos=columns.videos[finding.rows].tolist(),
        )
        for finding in findings
        if finding.rows is not None
    )
    counts = {severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES}
    record(actor=by, verb="corpus.audited", subject=corpus, data={"audit": audit.pk, **counts})
    return audit, True


def run(running: Running) -> dict[str, Any]:
    """The job. args: corpus_id. Started twice, it finds the audit it has written, because the inputs are the same."""
    corpus = Corpus.objects.filter(pk=running.job.args["corpus_id"]).first()
    if corpus is None:
        raise Problem("corpus_missing", f"There is no corpus {running.job.args['corpus_id']} any more.")
    audit, new = audit_corpus(corpus, by=running.job.created_by, job_id=running.job.pk, step=running.progress)
    return {"audit": audit.pk, "new": new}
