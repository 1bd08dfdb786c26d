"""The list of corpora and the page of one: what it holds, what is wrong with it, and where it came from.

Every number is paired with the address of the rows that it counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.http import QueryDict
from django.urls import reverse

from annotations.cases.models import Case, CaseStatus
from annotations.corpora.models import (
    BucketSource,
    Corpus,
    ImportRun,
    MediaState,
    Severity,
    Video,
    VideoFinding,
)
from annotations.corpora.restricted import seen_by
from annotations.corpus_audit.models import CorpusAudit
from annotations.corpus_audit.services import standings_of
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job

ABSENT = "absent"
MEDIA_WORDS: Mapping[str, str] = {
    MediaState.READY: "ready to watch",
    MediaState.PENDING: "being probed",
    MediaState.UNUSABLE: "unusable",
    ABSENT: "without a clip",
}
SHOWN_SOURCES = 50
SHOWN_RECORDINGS = 10
SHOWN_IMPORTS = 8
SEVERITIES = [Severity.ERROR, Severity.WARNING, Severity.INFO]


@dataclass(frozen=True)
class Part:
    """Some rows out of `total`: their key, words for it, how many, and where they are listed."""

    key: str
    words: str
    count: int
    total: int
    url: str

    @property
    def percent(self) -> float:
        """Of all rows, 0 to 100."""
        return 100 * self.count / self.total if self.total else 0.0


@dataclass(frozen=True)
class ImportRow:
    """An import with the job that does it; `state` is the job's, or 'done' for an import without one."""

    run: ImportRun
    job: Job | None
    state: str
    rejected: int


@dataclass(frozen=True)
class AuditNote:
    """What the newest audit of a corpus leaves open: how many findings, and the worst of them ('' when none is)."""

    open: int
    severity: str
    sentence: str


@dataclass(frozen=True)
class CorpusRow:
    """A corpus of the list. `media` and `cases` leave out states that nothing is in."""

    corpus: Corpus
    videos: int
    media: list[Part]
    cases: list[Part]
    case_count: int
    last_import: ImportRow | None
    audit: AuditNote | None


@dataclass(frozen=True)
class FindingCount:
    """A code found about a corpus's clips, at how many of them."""

    code: str
    severity: str
    videos: int
    url: str


@dataclass(frozen=True)
class CorpusFacts:
    """The page of one corpus. `recordings` counts distinct ones; `shared` are those with the most videos; each of
    `buckets` has its `object_count`."""

    row: CorpusRow
    sources: list[Part]
    more_sources: int
    splits: list[Part]
    recordings: int
    shared: list[Part]
    findings: list[FindingCount]
    imports: list[ImportRow]
    more_imports: bool
    buckets: QuerySet[BucketSource]


def videos_url(corpus_id: int, **narrowed: str) -> str:
    """The list of a corpus's videos, narrowed to e.g. state='unusable'."""
    return _with_query(reverse("corpus-videos", args=[corpus_id]), narrowed)


def cases_url(corpus_id: int, **narrowed: str) -> str:
    """The list of a corpus's cases, narrowed to e.g. status='ready'."""
    return _with_query(reverse("cases"), {"corpus": str(corpus_id), **narrowed})


def _with_query(address: str, values: Mapping[str, str]) -> str:
    query = QueryDict(mutable=True)
    query.update({name: value for name, value in values.items() if value})
    return f"{address}?{query.urlencode()}" if query else address


def import_rows(runs: Sequence[ImportRun]) -> list[ImportRow]:
    """These imports with their jobs, in two queries however many they are."""
    jobs = Job.objects.in_bulk([run.job_id for run in runs if run.job_id])
    rejected = dict(
        ImportRun.objects.filter(pk__in=[run.pk for run in runs])
        .order_by()
        .annotate(rejected=Count("rejections"))
        .values_list("pk", "rejected")
    )
    rows = []
    for run in runs:
        job = jobs.get(run.job_id) if run.job_id else None
        state = job.state if job else "done" if run.finished_at else "queued"
        rows.append(ImportRow(run=run, job=job, state=state, rejected=rejected[run.pk]))
    return rows


def corpus_rows(corpora: Sequence[Corpus]) -> list[CorpusRow]:
    """What the list says about these corpora, in a fixed number of queries."""
    ids = [corpus.pk for corpus in corpora]
    media: dict[int, dict[str, int]] = {pk: {} for pk in ids}
    states = Video.objects.filter(corpus__in=ids).order_by().values_list("corpus", "media__state")
    for pk, state, count in states.annotate(Count("pk")):
        media[pk][state or ABSENT] = count
    cases: dict[int, dict[str, int]] = {pk: {} for pk in ids}
    for pk, status, count in (
        Case.objects.filter(corpus__in=ids).order_by().values_list("corpus", "status").annotate(Count("pk"))
    ):
        cases[pk][status] = count
    newest = ImportRun.objects.filter(corpus__in=ids).order_by().values("corpus").annotate(last=Max("pk"))
    runs = ImportRun.objects.filter(pk__in=[row["last"] for row in newest]).order_by("pk")
    last = {row.run.corpus_id: row for row in import_rows(list(runs))}
    audits = audit_notes(ids)
    return [
        _row(corpus, media[corpus.pk], cases[corpus.pk], last.get(corpus.pk), audits.get(corpus.pk))
        for corpus in corpora
    ]


def audit_notes(corpus_ids: Sequence[int]) -> dict[int, AuditNote]:
    """By corpus id, for those that have been audited. A report lists its worst findings first."""
    audits = (
        CorpusAudit.objects.filter(corpus__in=corpus_ids).order_by("corpus_id", "-pk").distinct("corpus_id")
    )
    newest = list(audits)
    standing = standings_of(newest)
    notes = {}
    for audit in newest:
        left = [found.finding for found in standing[audit.pk] if found.open]
        worst = left[0] if left else {"severity": "", "sentence": ""}
        notes[audit.corpus_id] = AuditNote(len(left), worst["severity"], worst["sentence"])
    return notes


def _row(
    corpus: Corpus,
    media: Mapping[str, int],
    cases: Mapping[str, int],
    last: ImportRow | None,
    audit: AuditNote | None,
) -> CorpusRow:
    videos, case_count = sum(media.values()), sum(cases.values())
    return CorpusRow(
        corpus=corpus,
        videos=videos,
        media=[
            Part(state, words, media[state], videos, videos_url(corpus.pk, state=state))
            for state, words in MEDIA_WORDS.items()
            if media.get(state)
        ],
        cases=[
            Part(status, status.replace("_", " "), cases[status], case_count, cases_url(corpus.pk, status=status))
            for status in CaseStatus.values
            if cases.get(status)
        ],
        case_count=case_count,
        last_import=last,
        audit=audit,
    )  # fmt: skip


def corpus_facts(corpus: Corpus, user: User) -> CorpusFacts:
    """Everything that the page of a corpus shows of what it holds."""
    row = corpus_rows([corpus])[0]
    ours = corpus.videos.order_by()
    found = origins(corpus)
    sources = _parts(corpus, "source", found.sources, found.total)
    shared = ours.exclude(recording="").values_list("recording").annotate(many=Count("pk")).filter(many__gt=1)
    runs = list(corpus.imports.order_by("-pk")[: SHOWN_IMPORTS + 1])
    return CorpusFacts(
        row=row,
        sources=sources[:SHOWN_SOURCES],
        more_sources=max(0, len(sources) - SHOWN_SOURCES),
        splits=_parts(corpus, "split", found.splits, found.total),
        recordings=ours.aggregate(many=Count("recording", distinct=True))["many"],
        shared=[
            Part(name, name, count, row.videos, videos_url(corpus.pk, recording=name))
            for name, count in shared.order_by("-many", "recording")[:SHOWN_RECORDINGS]
        ],
        findings=finding_counts(corpus, user),
        imports=import_rows(runs[:SHOWN_IMPORTS]),
        more_imports=len(runs) > SHOWN_IMPORTS,
        buckets=corpus.buckets.annotate(object_count=Count("objects_seen")).order_by("id"),
    )


@dataclass(frozen=True)
class Origins:
    """How many videos of a corpus there are of each source and each split; '' are those without one."""

    sources: Mapping[str, int]
    splits: Mapping[str, int]
    total: int


def origins(corpus: Corpus) -> Origins:
    """Counted in one pass over the corpus's videos."""
    sources: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    rows = corpus.videos.order_by().values_list("source", "split").annotate(many=Count("pk"))
    for source, split, count in rows:
        sources[source] += count
        splits[split] += count
    return Origins(sources, splits, sources.total())


def _parts(corpus: Corpus, field: str, counts: Mapping[str, int], total: int) -> list[Part]:
    """The values of a text field with their videos, the most frequent first."""
    return [
        Part(
            value, value or f"no {field}", count, total,
            videos_url(corpus.pk, **({field: value} if value else {"without": field})),
        )
        for value, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]  # fmt: skip


def finding_counts(corpus: Corpus, user: User) -> list[FindingCount]:
    """What was found about the corpus's clips, by code: errors first, then the most frequent."""
    counted = (
        seen_by(VideoFinding.objects.filter(video__corpus=corpus), user)
        .order_by()
        .values("code", "severity")
        .annotate(videos=Count("video", distinct=True))
    )
    found = [
        FindingCount(
            code=row["code"], severity=row["severity"], videos=row["videos"],
            url=videos_url(corpus.pk, finding=row["code"], severity=row["severity"]),
        )
        for row in counted
    ]  # fmt: skip
    return sorted(
        found, key=lambda item: (SEVERITIES.index(Severity(item.severity)), -item.videos, item.code)
    )


def finding_codes(corpus: Corpus, user: User) -> list[str]:
    """The codes of everything found about the corpus's videos, sorted."""
    found = seen_by(VideoFinding.objects.filter(video__corpus=corpus), user)
    codes = found.order_by("code").values_list("code", flat=True)
    return list(codes.distinct())


def summary(found: Mapping[str, Any]) -> list[str]:
    """An import's report in a few words: '12 new videos', '3 rejected rows' …; [] for an empty report."""
    if not found:
        return []
    videos, answers = found.get("videos", {}), found.get("answers", {})
    words = [
        (videos.get("new", 0), "new videos"),
        (videos.get("known", 0), "known videos"),
        (videos.get("lacking_media", 0), "without a clip"),
        (answers.get("new", 0), "new answers"),
        (found.get("rejected", 0), "rejected rows"),
    ]
    return [f"{count:,} {what}" for count, what in words if count]
