"""`manage.py demo_corpus OUT`: write the synthetic demo corpus into a folder."""

import argparse
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.corpora.demo import generate


class Command(BaseCommand):
    """Writes clips, bad files, manifest and conversations; see annotations.corpora.demo."""

    help = "Write a small synthetic crash corpus with exact ground truth into a folder."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """OUT, --clips, --seed."""
        parser.add_argument("out", type=Path, help="folder to write into; made if missing")
        parser.add_argument("--clips", type=int, default=40, help="number of sound clips (default 40)")
        parser.add_argument("--seed", type=int, default=7, help="same seed, same bytes (default 7)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Generate, with a line of progress that is rewritten on a terminal."""
        out: Path = options["out"]
        terminal = self.stdout.isatty()

        def show(done: int, total: int) -> None:
            if terminal:
                self.stdout.write(f"\rclip {done} of {total}", ending="")
                self.stdout.flush()
            elif done == total or done % 10 == 0:
                self.stdout.write(f"clip {done} of {total}")

        try:
            report = generate(out, clips=options["clips"], seed=options["seed"], progress=show)
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from error
        if terminal:
            self.stdout.write("")
        made = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.outcomes.items())
        self.stdout.write(
            f"{report.clips} clips ({made}) and {len(report.bad)} bad files in {report.out_dir}"
        )
