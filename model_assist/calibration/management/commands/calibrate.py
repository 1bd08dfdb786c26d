"""`manage.py calibrate MODEL`: fit a model version's calibrations here and now."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from crashdesk.api.errors import Problem
from model_assist.calibration.services import AUTO, CHOICES
from model_assist.crashchat.kinds import ALL
from model_assist.registry.models import ModelVersion


class Command(BaseCommand):
    help = "Fits what a model version's confidence is worth, kind by kind, on its reviewed answers. Earlier fits stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("model", help="the model version's name")
        parser.add_argument(
            "--kind", action="append", choices=ALL, help="again for several; default: all six"
        )
        parser.add_argument("--evidence", choices=CHOICES, default=AUTO)
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        from model_assist.calibration.work import fit  # scikit-learn: not for `manage.py help`

        version = ModelVersion.objects.filter(name=options["model"]).first()
        if version is None:
            known = ", ".join(ModelVersion.objects.values_list("name", flat=True)) or "there is none"
            raise CommandError(f"There is no model version {options['model']!r}; known: {known}.")
        fitted = 0
        for kind in options["kind"] or ALL:
            try:
                made = fit(
                    model_version=version,
                    kind=kind,
                    evidence=options["evidence"],
                    seed=options["seed"],
                    by=None,
                )
            except Problem as problem:
                self.stderr.write(f"refused  {problem.message}")
                continue
            fitted += 1
            self.stdout.write(
                f"fitted   {kind}: {made.method} on {made.pairs} {made.evidence} pairs, {made.right} right; "
                f"ECE {made.before['ece']:.3f} -> {made.after['ece']:.3f} (by chance {made.after['chance_ece']:.3f}), "
                f"Brier {made.before['brier']:.3f} -> {made.after['brier']:.3f}"
            )
        if not fitted:
            raise CommandError("Nothing could be fitted.")
