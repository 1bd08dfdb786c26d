"""`make check`, the part that needs Django: no missing migration, and the committed schema and diagram are current.

    python -m tests.checks

Changes nothing; exit status 1 and a hint when something is out of date.
"""

import io
import os
import sys
from pathlib import Path

import tests.plugin  # noqa: F401 - gives Django a database before it reads its settings

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "crashdesk.settings")
    import django
    from django.core.management import call_command

    django.setup()
    problems = []
    try:
        call_command("makemigrations", check=True, dry_run=True, verbosity=1)
    except SystemExit:
        problems.append("models changed without a migration: run manage.py makemigrations")
    call_command("check", fail_level="WARNING")
    for command, options, name in (
        ("spectacular", {"validate": True, "fail_on_warn": True}, "docs/openapi.yaml"),
        ("workflow_diagram", {}, "docs/workflow.md"),
    ):
        output = io.StringIO()
        call_command(command, stdout=output, **options)
        committed = ROOT / name
        if not committed.exists() or committed.read_text().strip() != output.getvalue().strip():
            problems.append(f"{name} is out of date: run make fix")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
