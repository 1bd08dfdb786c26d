"""Make the demo's people, one per role."""

from typing import Any

from django.core.management.base import BaseCommand

from crashdesk.demo.people import PEOPLE, ensure_people


class Command(BaseCommand):
    help = "Make one person per role, with this home's own password."

    def handle(self, *args: Any, **options: Any) -> None:
        password = ensure_people()
        self.stdout.write(f"{', '.join(PEOPLE)}: password {password}")
