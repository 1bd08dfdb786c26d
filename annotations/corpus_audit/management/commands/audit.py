"""`manage.py audit CORPUS`: what is wrong with a corpus, in plain sentences."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.corpora.models import Corpus
from annotations.corpus_audit import services
from annotations.corpus_audit.auditing import audit_corpus
from annotations.corpus_audit.diffing import canonical, diff
from annotations.corpus_audit.findings import SEVERITIES
from annotations.corpus_audit.models import CorpusAudit
from annotations.corpus_audit.report import FORMAT

SHOWN_EXAMPLES = 3
PREVIOUS = "previous"


class Command(BaseCommand):
    help = (
        "Audits a corpus here and now and prints its findings, worst first. An unchanged corpus is not audited again: "
        "the audit that is kept is shown. Exits with 0 whatever is found, unless --fail-on says otherwise."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("corpus", help="its name")
        parser.add_argument(
            "--json", type=Path, metavar="FILE", help="write the whole report there; - for the screen"
        )
        parser.add_argument(
            "--diff",
            metavar="FILE",
            help="show what changed since a report written with --json, or since the 'previous' audit",
        )
        parser.add_argument(
            "--fail-on", choices=SEVERITIES, help="exit with 1 when an open finding is this bad or worse"
        )
        parser.add_argument(
            "--list",
            metavar="CODE[:SUBJECT]",
            help="print the names of all clips of one finding, and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        corpus = Corpus.objects.filter(name=options["corpus"]).first()
        if corpus is None:
            known = ", ".join(Corpus.objects.values_list("name", flat=True)) or "there is none"
            raise CommandError(f"There is no corpus {options['corpus']!r}; known: {known}.")
        audit, new = audit_corpus(corpus, by=None, step=self._progress)
        if options["list"]:
            return self._list(audit, options["list"])
        if options["json"] == Path("-"):
            self.stdout.write(canonical(audit.report), ending="")
        else:
            if options["json"]:
                options["json"].write_text(canonical(audit.report), encoding="utf-8")
            self._print(audit, new)
            if options["diff"]:
                self._diff(audit, options["diff"])
        self._fail(audit, options["fail_on"])

    def _progress(self, done: int, total: int, what: str) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"{100 * done // max(total, 1):3d} % {what}")

    def _print(self, audit: CorpusAudit, new: bool) -> None:
        out, report = self.stdout.write, audit.report
        counts = report["counts"]
        out(
            f"Audit {audit.pk} of {report['corpus']}, {'made now' if new else 'unchanged since it was made'}: "
            f"{counts['clips']} clips, {counts['answered']} with answers, inputs {audit.inputs_hash[:12]}"
        )
        out(report["inputs"]["counted"])
        standings = services.standings(audit)
        for severity in reversed(SEVERITIES):
            found = [standing for standing in standings if standing.finding["severity"] == severity]
            out(f"\n{severity.upper()} ({len(found)})")
            for standing in found:
                self._finding(standing)

    def _finding(self, standing: services.Standing) -> None:
        out, finding = self.stdout.write, standing.finding
        name = f"{finding['code']}: {finding['subject']}" if finding["subject"] else finding["code"]
        out(f"  {name}  {finding['count']} of {finding['total']}")
        out(f"    {finding['sentence']}")
        for example in finding["examples"][:SHOWN_EXAMPLES]:
            out(f"      {example['name']}" + (f": {example['value']}" if example["value"] else ""))
        out(f"    Do: {finding['action']}")
        said = standing.acknowledgement
        if said is not None:
            word = "acknowledged, but it has grown since" if standing.outgrown else "acknowledged"
            out(f"    {word}: {said.reason} ({said.by}, {said.at:%Y-%m-%d})")

    def _diff(self, audit: CorpusAudit, against: str) -> None:
        found, out = diff(self._old(audit, against), audit.report), self.stdout.write
        out(f"\nSINCE {against}: {len(found.new)} new, {len(found.gone)} gone, {len(found.changed)} changed, "
            f"{found.unchanged} unchanged")  # fmt: skip
        for finding in found.new:
            out(f"  new   {finding['code']} {finding['subject']}: {finding['sentence']}")
        for finding in found.gone:
            out(f"  gone  {finding['code']} {finding['subject']}: {finding['sentence']}")
        for change in found.changed:
            out(f"  now   {change.code} {change.subject}: {_size(change.after)}, was {_size(change.before)}")

    def _old(self, audit: CorpusAudit, against: str) -> dict[str, Any]:
        if against == PREVIOUS:
            earlier = services.before(audit)
            if earlier is None:
                raise CommandError("This is the first audit of the corpus: there is none to compare it with.")
            return dict(earlier.report)
        try:
            old = json.loads(Path(against).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CommandError(f"{against} cannot be read as a report: {error}") from error
        if not isinstance(old, dict) or old.get("format") != FORMAT:
            raise CommandError(f"{against} is no report of this kind ({FORMAT}).")
        return old

    def _list(self, audit: CorpusAudit, wanted: str) -> None:
        code, _, subject = wanted.partition(":")
        clips = audit.clips.filter(code=code, subject=subject.strip()).first()
        if clips is None:
            known = "; ".join(f"{row.code}:{row.subject}".rstrip(":") for row in audit.clips.all())
            raise CommandError(f"No finding {wanted!r} that lists clips. There are: {known or 'none'}.")
        for name in services.videos_of(clips).values_list("name", flat=True).iterator():
            self.stdout.write(name)

    def _fail(self, audit: CorpusAudit, worst: str | None) -> None:
        if worst is None:
            return
        bad = [
            standing.finding["code"]
            for standing in services.standings(audit)
            if standing.open and SEVERITIES.index(standing.finding["severity"]) >= SEVERITIES.index(worst)
        ]
        if bad:
            raise CommandError(
                f"{len(bad)} open findings are {worst} or worse: {', '.join(sorted(set(bad)))}"
            )


def _size(side: dict[str, Any]) -> str:
    return f"{side['severity']} {side['count']} of {side['total']}"
