"""`manage.py up`: start every service and worker, and serve until Ctrl-C."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from crashdesk.embedded.broker import BrokerError
from crashdesk.embedded.config import ConfigurationError, load_config
from crashdesk.embedded.labelstudio import LabelStudioError
from crashdesk.embedded.postgres import PostgresError
from crashdesk.embedded.processes import run
from crashdesk.embedded.supervisor import SupervisorError


class Command(BaseCommand):
    """Runs in the foreground; the exit status is 0 after a requested stop."""

    help = "Start the database, the broker, Label Studio, the web server and the workers; Ctrl-C stops all."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Two options; everything else is an environment variable."""
        parser.add_argument("--no-labelstudio", action="store_true", help="leave Label Studio out")
        parser.add_argument(
            "--then",
            default="",
            metavar="COMMAND",
            help='run once when all is ready, e.g. "manage.py demo"; if it fails, stop everything',
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError with one line of help when the start is impossible."""
        try:
            status = run(
                load_config(), with_labelstudio=not options["no_labelstudio"], then=str(options["then"])
            )
        except (ConfigurationError, SupervisorError, PostgresError, BrokerError, LabelStudioError) as error:
            raise CommandError(str(error)) from error
        sys.exit(status)
