"""`manage.py labelstudio_provision`: a corpus's projects in Label Studio, without pushing any case."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.cases.models import Guideline
from annotations.corpora.models import Corpus
from annotations.labelstudio.client import client
from annotations.labelstudio.provisioning import provision
from crashdesk.api.errors import Problem


class Command(BaseCommand):
    help = "Makes, or brings in line, a corpus's projects in Label Studio: form, videos, webhook, order."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("corpus", help="its name or number")
        parser.add_argument(
            "--guideline", type=int, help="its number; default: the newest that the corpus has cases of"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        named: str = options["corpus"]
        corpora = Corpus.objects.order_by("pk")
        corpus = corpora.filter(name=named).first()
        if corpus is None and named.isdecimal():
            corpus = corpora.filter(pk=int(named)).first()
        if corpus is None:
            raise CommandError(f"There is no corpus {named!r}.")
        guideline = None
        if options["guideline"]:
            guideline = Guideline.objects.filter(pk=options["guideline"]).first()
            if guideline is None:
                raise CommandError(f"There is no guideline {options['guideline']}.")
        try:
            projects = provision(corpus=corpus, guideline=guideline, by=None, client=client())
        except Problem as problem:
            raise CommandError(problem.message) from problem
        for project in projects:
            version = project.form.version if project.form else "?"
            self.stdout.write(f"{project.title}: {project.url} (form version {version})")
