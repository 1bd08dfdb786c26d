"""Bring a corpus up to date with a bucket, here and now."""

from argparse import ArgumentParser
from time import monotonic
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.cases.bucket_sync import SyncBusy, run_sync
from annotations.corpora.buckets.services import add_bucket, begin_sync, location_of
from annotations.corpora.models import BucketSource
from annotations.corpora.services import ensure_corpus
from crashdesk.api.errors import Problem

SHOWN_REJECTIONS = 20


class Command(BaseCommand):
    help = (
        "Reads what is new or changed in a bucket, or in a folder of one, into a corpus and prints a report. The "
        "bucket must lie in one of CRASHDESK_BUCKET_ROOTS; keys are found as boto3 finds them (AWS_ACCESS_KEY_ID …)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the corpus; made when there is none of that name")
        parser.add_argument(
            "url", help="s3://bucket/folder, with ?endpoint= where the setting does not tell it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        started = monotonic()
        try:
            source = self._source(options["name"], options["url"])
            run = begin_sync(source=source, by=None)
            report = run_sync(run.pk, progress=self._progress)
        except Problem as problem:
            raise CommandError(problem.message) from problem
        except SyncBusy as error:
            raise CommandError(str(error)) from error
        bucket = report["bucket"]
        self.stdout.write(
            f"Import {run.pk} of {source.url} into {source.corpus.name}: {monotonic() - started:.1f} s, "
            f"{bucket['objects']} objects, {bucket['unchanged']} unchanged, {bucket['read']} read "
            f"({bucket['read_bytes'] / 1e6:.1f} MB), {bucket['gone_count']} gone, "
            f"{report['videos']['new']} new videos, {report['rejected']} rejected"
        )
        for rejection in run.rejections.all()[:SHOWN_REJECTIONS]:
            self.stdout.write(f"    {rejection.file}: {rejection.reason}")

    def _source(self, name: str, url: str) -> BucketSource:
        corpus = ensure_corpus(name=name, by=None)
        probe = location_of(BucketSource(corpus=corpus, url=url))
        known = BucketSource.objects.select_related("corpus").filter(corpus=corpus, url=probe.url).first()
        return known or add_bucket(corpus=corpus, url=probe.url, by=None)

    def _progress(self, done: int, total: int | None, message: str) -> None:
        self.stderr.write(f"{done} {message}")
