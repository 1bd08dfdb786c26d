"""`manage.py labelstudio_reconcile`: where CrashDesk and Label Studio disagree, and putting it right."""

import time
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from annotations.labelstudio.client import Client, client
from annotations.labelstudio.discrepancies import ReconcileReport
from annotations.labelstudio.locks import POLL, only_one
from annotations.labelstudio.models import LabelStudioProject
from annotations.labelstudio.reconcile import reconcile
from crashdesk.api.errors import Problem

WAIT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 0.2


class Command(BaseCommand):
    help = (
        "Compares every task and annotation of CrashDesk's projects in Label Studio with what CrashDesk has, and says "
        "what each disagreement means. With --repair, puts right what can be put right. Exits with 1 when anything is "
        "left that a person must decide."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="put right what can be put right")
        parser.add_argument(
            "--project", type=int, metavar="ID", help="only this one, by Label Studio's number"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        projects = LabelStudioProject.objects.linked()
        if options["project"]:
            projects = projects.filter(project_id=options["project"])
        if not projects:
            raise CommandError(
                "There is no such project." if options["project"] else "There are no projects."
            )
        left = 0
        for project in projects:
            try:
                report = self._compared(project, client(), repair=options["repair"])
            except Problem as problem:
                raise CommandError(f"{project.title}: {problem.message}") from problem
            self._print(project, report)
            left += len(report.open)
        if left:
            hint = "" if options["repair"] else " Run it with --repair to put right what can be put right."
            raise CommandError(f"{left} disagreements are left.{hint}")

    def _compared(self, project: LabelStudioProject, connection: Client, *, repair: bool) -> ReconcileReport:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with only_one(POLL) as no_poll, only_one(project.pk) as no_push:
                if no_poll and no_push:
                    project.refresh_from_db()
                    return reconcile(project, client=connection, by=None, repair=repair)
            if time.monotonic() > deadline:
                raise CommandError(
                    f"{project.title}: a poll or a push has been going on for a minute; try again."
                )
            time.sleep(PAUSE_SECONDS)

    def _print(self, project: LabelStudioProject, report: ReconcileReport) -> None:
        compared = f"{report.tasks} tasks and {report.annotations} annotations compared"
        self.stdout.write(f"{project.title}: {compared}, {len(report.found)} disagreements.")
        for code in dict.fromkeys(one.code for one in report.found):
            several = [one for one in report.found if one.code == code]
            kind = several[0].kind
            self.stdout.write(f"\n{kind.title} ({len(several)}). {kind.meaning}")
            if kind.repair and not report.repair:
                self.stdout.write(f"  --repair: {kind.repair}")
            for one in several:
                self.stdout.write(f"  - {one.message}" + (f" [{one.settled}]" if one.settled else ""))
