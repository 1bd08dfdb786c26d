"""Walk the loop on a demo corpus and print where to look. Needs the services of `manage.py up`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from crashdesk.demo.client import Client
from crashdesk.demo.people import PEOPLE, SIMULATED, ensure_people
from crashdesk.demo.reviewer import LabelStudioReviewer
from crashdesk.demo.walk import Walk


class Command(BaseCommand):
    help = "Walk the whole loop on a demo corpus: import, predict, review, approve, freeze, train, promote."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--clips", type=int, default=40, help="clips to draw (default 40)")

    def handle(self, *args: Any, clips: int = 40, **options: Any) -> None:
        password = ensure_people()
        walk = Walk(
            home=settings.HOME,
            client=Client(settings.PUBLIC_URL, "admin", password),
            client_of=lambda name: Client(settings.PUBLIC_URL, name, password),
            reviewer=lambda name: LabelStudioReviewer(
                settings.LABELSTUDIO_URL,
                settings.LABELSTUDIO_TOKEN,
                desk=settings.PUBLIC_URL,
                username=name,
                password=password,
            ),
            clips=clips,
        )
        walk.run()
        self._say_where(password, walk.pages())

    def _say_where(self, password: str, pages: list[tuple[str, str]]) -> None:
        rows = [
            ("The loop, cases, corpora", "/"),
            *pages,
            ("API and its docs", "/api/docs"),
            ("Django admin", "/admin/"),
            ("Label Studio, signed in", "/labelstudio"),
        ]
        self.stdout.write("\nCrashDesk is running:")
        for title, path in rows:
            self.stdout.write(f"  {title:<26} {settings.PUBLIC_URL}{path}")
        self.stdout.write(f"  {'Simulated, not people':<26} {', '.join(SIMULATED)}")
        self.stdout.write(f"  {'Sign in':<26} {', '.join(PEOPLE)} with the password {password}")
        self.stdout.write("Ctrl-C stops everything; `make demo` starts it again and keeps the data.")
