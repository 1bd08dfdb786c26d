"""Print the case workflow as a Mermaid diagram, from the table itself."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from annotations.cases.workflow import POLICY_TRANSITIONS, TRANSITIONS


def diagram() -> str:
    """A Markdown page with the state diagram."""
    lines = [
        "# The case workflow",
        "",
        "Made by `manage.py workflow_diagram` from `annotations/cases/workflow.py`.",
        "",
    ]
    lines += ["```mermaid", "stateDiagram-v2", "    [*] --> new"]
    for status, targets in TRANSITIONS.items():
        lines += [f"    {status.value} --> {target.value}" for target in sorted(targets)]
    for status, targets in POLICY_TRANSITIONS.items():
        lines += [
            f"    {status.value} --> {target.value}: auto-approval policy" for target in sorted(targets)
        ]
    return "\n".join([*lines, "```", ""])


class Command(BaseCommand):
    help = "Print the case workflow as a Mermaid diagram."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--write", type=Path, help="write the page to this file instead")

    def handle(self, *args: Any, write: Path | None = None, **options: Any) -> None:
        if write:
            write.parent.mkdir(parents=True, exist_ok=True)
            write.write_text(diagram())
        else:
            self.stdout.write(diagram())
