"""Register the model that CRASHDESK_MODEL and CRASHDESK_ADAPTERS name."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crashdesk.api.errors import Problem
from model_assist.registry.services import register_configured


class Command(BaseCommand):
    help = "Register the model that CRASHDESK_MODEL and CRASHDESK_ADAPTERS name; the first one is put in use."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        try:
            version, created = register_configured(name=name, by=None)
        except Problem as problem:
            raise CommandError(problem.message) from problem
        state = "registered" if created else "known already"
        self.stdout.write(f"{version.name}: {state}{', in use' if version.in_use else ''}")
