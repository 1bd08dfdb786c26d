"""`manage.py labelstudio_check`: whether the configured Label Studio will do, and what to do where it will not."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.labelstudio.check import State, as_rows, check_server
from annotations.labelstudio.client import client
from crashdesk.api.errors import Problem


class Command(BaseCommand):
    help = (
        "Looks at the configured Label Studio: reachable, version, token, legacy tokens, form, validation of drafts, "
        "webhooks, videos. Makes a project for that and deletes it again. Exits with 1 when something is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            findings = check_server(client())
        except Problem as problem:
            raise CommandError(problem.message) from problem
        if options["json"]:
            self.stdout.write(json.dumps(as_rows(findings), indent=2))
        else:
            for finding in findings:
                self.stdout.write(f"{finding.state.value:8} {finding.code}: {finding.found}")
                if finding.advice:
                    self.stdout.write(f"         -> {finding.advice}")
        wrong = [finding.code for finding in findings if finding.state == State.ERROR]
        if wrong:
            raise CommandError(f"Label Studio cannot be used like this: {', '.join(wrong)}.")
