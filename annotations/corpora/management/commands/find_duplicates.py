"""`manage.py find_duplicates [CORPUS]`: fingerprint what has none, search for near duplicates, list what was found."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from annotations.corpora.duplicates.making import make_for
from annotations.corpora.duplicates.queueing import missing_media
from annotations.corpora.duplicates.searching import find_clusters
from annotations.corpora.models import Corpus, DuplicateMember


class Command(BaseCommand):
    """Does in this process what the jobs "fingerprint" and "cluster" do; safe to stop and to run again."""

    help = "Find videos that show the same footage, and print the clusters they form."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """CORPUS, --limit."""
        parser.add_argument(
            "corpus", nargs="?", help="only its videos, compared with all corpora (default: all)"
        )
        parser.add_argument("--limit", type=int, default=50, help="clusters to list at most (default 50)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Progress on one line where there is a terminal, then a table."""
        corpus = None
        if options["corpus"] is not None:
            corpus = Corpus.objects.filter(name=options["corpus"]).first()
            if corpus is None:
                raise CommandError(f"There is no corpus {options['corpus']!r}.")
        corpus_id = corpus.pk if corpus else None
        without = self._fingerprint(missing_media(corpus_id))
        outcome = find_clusters(corpus_id=corpus_id, by=None, progress=self._progress)
        self._end_line()
        self._table(corpus_id, options["limit"])
        self.stdout.write(
            f"{outcome.pairs} pairs of files alike; {outcome.clusters} clusters of {outcome.members} videos: "
            f"{len(outcome.created)} new, {len(outcome.changed)} changed, {len(outcome.ended)} ended"
        )
        if without:
            self.stdout.write(f"{without} clips have no fingerprint: see their finding no_fingerprint")
        for first, second in outcome.to_merge:
            self.stdout.write(
                f"clusters {first} and {second} look alike, and people edited both: merge them?"
            )

    def _fingerprint(self, media_ids: list[int]) -> int:
        """Make what is missing; returns how many cannot have one."""
        without = 0
        for done, media_id in enumerate(media_ids, 1):
            without += not make_for(media_id)
            self._progress(done, len(media_ids), "fingerprinting clips")
        self._end_line()
        return without

    def _progress(self, done: int, total: int | None, message: str) -> None:
        if self.stdout.isatty():
            self.stdout.write(f"\r{message}: {done} of {total}\033[K", ending="")
            self.stdout.flush()
        elif done == total:
            self.stdout.write(f"{message}: {done}")

    def _end_line(self) -> None:
        if self.stdout.isatty():
            self.stdout.write("")

    def _table(self, corpus_id: int | None, limit: int) -> None:
        shown = DuplicateMember.objects.select_related("video__corpus").order_by("cluster_id", "video_id")
        if corpus_id is not None:
            shown = shown.filter(cluster__members__video__corpus=corpus_id).distinct()
        clusters = list(shown.values_list("cluster_id", flat=True).order_by("cluster_id").distinct()[:limit])
        rows = [("cluster", "video", "corpus", "name", "recording", "alike", "shift s")]
        for member in shown.filter(cluster__in=clusters):
            seen = member.evidence
            alike = f"{seen['similarity']:.3f}" if "similarity" in seen else "by hand"
            alike = "same bytes" if seen.get("exact") else alike
            shift = f"{seen['shift_us'] / 1e6:+.2f}" if "shift_us" in seen else ""
            rows.append(
                (str(member.cluster_id), str(member.video_id), member.video.corpus.name, member.video.name,
                 member.video.recording, alike, shift)
            )  # fmt: skip
        if len(rows) == 1:
            self.stdout.write("No videos that show the same footage.")
            return
        widths = [min(44, max(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
        for row in rows:
            cells = (_shortened(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())


def _shortened(text: str, width: int) -> str:
    """The end of it: what names of clips differ in."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
