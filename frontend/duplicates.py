"""Clusters of near duplicates for people: the list, one cluster side by side on a common clock, and what was said."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import QueryDict

from annotations.corpora.duplicates import METHOD
from annotations.corpora.duplicates.opening import open_clusters
from annotations.corpora.models import (
    Corpus,
    DuplicateCluster,
    DuplicateMember,
    DuplicateVerdict,
    MediaState,
    RecordingOrigin,
    Video,
)
from crashdesk.accounts.models import User
from crashdesk.accounts.scope import narrow
from crashdesk.jobs.models import Job, JobState
from frontend.corpora_clip import likeness

SHOWN_MEMBERS: Final = 4
SHOWN_SUGGESTIONS: Final = 10
MOST_MEMBERS: Final = 60
MAX_ID: Final = 2**63 - 1
STATES: Final = {
    "open": "not confirmed yet",
    "proposed": "with proposals to judge",
    "confirmed": "confirmed",
    "conflict": "with recordings that disagree",
}
_KNOWN_RECORDING: Final = (RecordingOrigin.FORMAT, RecordingOrigin.PERSON)


@dataclass(frozen=True)
class ClusterFilters:
    """What the list is narrowed to. Empty strings narrow nothing."""

    corpus: str = ""
    state: str = ""
    across: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "ClusterFilters":
        """From the address. A corpus that is no number and an unknown state are ignored."""
        corpus, state = query.get("corpus", ""), query.get("state", "")
        known = corpus.isascii() and corpus.isdigit() and int(corpus) <= MAX_ID
        return cls(
            corpus=corpus if known else "",
            state=state if state in STATES else "",
            across="1" if query.get("across") == "1" else "",
        )

    def encoded(self) -> str:
        """As a query string without '?'; '' when nothing is narrowed."""
        query = QueryDict(mutable=True)
        query.update({name: value for name, value in vars(self).items() if value})
        return query.urlencode()


def narrowed(filters: ClusterFilters) -> QuerySet[DuplicateCluster]:
    """The clusters that the filters leave, by id, each with its `member_count` and `proposed_count`."""
    inside = DuplicateMember.objects.filter(cluster=OuterRef("pk")).order_by()
    clusters = DuplicateCluster.objects.order_by("id").annotate(
        member_count=_number(inside), proposed_count=_number(inside.filter(evidence__proposed=True))
    )
    if filters.corpus:
        clusters = clusters.filter(Exists(inside.filter(video__corpus=int(filters.corpus))))
    if filters.state in ("open", "confirmed"):
        clusters = clusters.filter(confirmed_at__isnull=filters.state == "open")
    elif filters.state == "proposed":
        clusters = clusters.filter(Exists(inside.filter(evidence__proposed=True)))
    elif filters.state == "conflict":
        clusters = clusters.filter(Exists(inside.filter(video__findings__code="recording_conflict")))
    if filters.across:
        fellows = DuplicateMember.objects.filter(cluster=OuterRef("cluster"))
        clusters = clusters.filter(
            Exists(inside.filter(Exists(fellows.exclude(video__corpus=OuterRef("video__corpus")))))
        )
    return clusters


def _number(members: QuerySet[DuplicateMember]) -> Coalesce:
    return Coalesce(Subquery(members.values("cluster").annotate(n=Count("pk")).values("n")), 0)


@dataclass(frozen=True)
class MemberRow:
    """A video of a cluster. `offset_us`: at the cluster's time T it is at T + offset_us of its own."""

    member: DuplicateMember
    video: Video
    likeness: str
    shift_us: int | None
    overlap_us: int | None
    nearest: int | None
    proposed: bool
    offset_us: int

    @property
    def playable(self) -> bool:
        """Whether a browser can play it."""
        return self.video.media is not None and bool(self.video.media.proxy_name)


@dataclass(frozen=True)
class ClusterRow:
    """A cluster of the list with its first members."""

    cluster: DuplicateCluster
    count: int
    proposed: int
    members: list[MemberRow]
    corpora: list[str]


def rows(clusters: Sequence[DuplicateCluster]) -> list[ClusterRow]:
    """What the list says about these clusters, in two queries however many they are."""
    ids = [cluster.pk for cluster in clusters]
    held: dict[int, list[DuplicateMember]] = defaultdict(list)
    firsts = _members().filter(pk__in=_first_ids(ids))
    for member in firsts:
        held[member.cluster_id].append(member)
    corpora: dict[int, list[str]] = defaultdict(list)
    spread = DuplicateMember.objects.filter(cluster__in=ids).order_by("video__corpus__name")
    for cluster, name in spread.values_list("cluster", "video__corpus__name").distinct():
        corpora[cluster].append(name)
    return [
        ClusterRow(
            cluster=cluster,
            count=vars(cluster)["member_count"],
            proposed=vars(cluster)["proposed_count"],
            members=member_rows(held[cluster.pk]),
            corpora=corpora[cluster.pk],
        )
        for cluster in clusters
    ]


def _first_ids(cluster_ids: Sequence[int]) -> list[int]:
    """Ids of the first members of each cluster."""
    members = DuplicateMember.objects.filter(cluster__in=cluster_ids).order_by("cluster", "video")
    taken: dict[int, list[int]] = defaultdict(list)
    for pk, cluster in members.values_list("pk", "cluster"):
        if len(taken[cluster]) < SHOWN_MEMBERS:
            taken[cluster].append(pk)
    return [pk for found in taken.values() for pk in found]


def _members() -> QuerySet[DuplicateMember]:
    members = DuplicateMember.objects.select_related("video__media", "video__corpus", "added_by")
    return members.defer("video__media__time_map", "video__metadata").order_by("video_id")


def cluster_members(cluster: DuplicateCluster) -> list[MemberRow]:
    """The members of a cluster by video id, the first MOST_MEMBERS of them."""
    return member_rows(list(_members().filter(cluster=cluster)[:MOST_MEMBERS]))


def member_rows(members: Sequence[DuplicateMember]) -> list[MemberRow]:
    """Members with what speaks for them, on a clock that they have in common where that is known."""
    offsets = offsets_us(members)
    return [
        MemberRow(
            member=member,
            video=member.video,
            likeness="the same bytes" if member.evidence.get("exact") else likeness(member.evidence),
            shift_us=member.evidence.get("shift_us"),
            overlap_us=member.evidence.get("overlap_us"),
            nearest=member.evidence.get("nearest"),
            proposed=bool(member.evidence.get("proposed")),
            offset_us=offsets[member.video_id],
        )
        for member in members
    ]


def offsets_us(members: Sequence[DuplicateMember]) -> dict[int, int]:
    """For each video, what to add to the common time to get its own, in microseconds; never negative for all.

    A member's evidence says what lies between it and its nearest: what it shows at t, that one shows at t - shift_us.
    Videos that no such word ties to the others begin with them.
    """
    ties: dict[int, list[tuple[int, int]]] = {member.video_id: [] for member in members}
    for member in members:
        nearest, shift = member.evidence.get("nearest"), member.evidence.get("shift_us")
        if nearest in ties and isinstance(shift, int):
            ties[member.video_id].append((nearest, -shift))
            ties[nearest].append((member.video_id, shift))
    offsets: dict[int, int] = {}
    for start in ties:
        if start in offsets:
            continue
        group, waiting = {start: 0}, [start]
        while waiting:
            video = waiting.pop()
            for other, step in ties[video]:
                if other not in group:
                    group[other] = group[video] + step
                    waiting.append(other)
        earliest = min(group.values())
        offsets |= {video: offset - earliest for video, offset in group.items()}
    return offsets


@dataclass(frozen=True)
class Outsider:
    """A video that was taken out of a cluster, by whom and why."""

    video: Video
    verdict: DuplicateVerdict


def outsiders(cluster: DuplicateCluster, user: User) -> list[Outsider]:
    """Videos that people said are different from members of the cluster, and that are in no cluster now; those that the
    person may see."""
    members = set(DuplicateMember.objects.filter(cluster=cluster).values_list("video_id", flat=True))
    said = DuplicateVerdict.objects.filter(Q(first__in=members) | Q(second__in=members), same=False)
    found: dict[int, DuplicateVerdict] = {}
    for verdict in said.select_related("by").order_by("-at"):
        other = verdict.second_id if verdict.first_id in members else verdict.first_id
        if other not in members:
            found.setdefault(other, verdict)
    loose = Video.objects.filter(pk__in=found, duplicate_member__isnull=True)
    videos = narrow(loose, user).select_related("corpus", "media")
    return [Outsider(video, found[video.pk]) for video in videos.defer("media__time_map").order_by("id")]


def recordings(members: Sequence[MemberRow]) -> list[str]:
    """The recordings that formats or people gave to members: more than one disagree."""
    given = [row.video.recording for row in members if row.video.recording_origin in _KNOWN_RECORDING]
    return list(dict.fromkeys(given))


@dataclass(frozen=True)
class Search:
    """How things stand with searching. `missing`: clips that no search can compare yet."""

    under_way: Job | None
    last: Job | None
    missing: int
    to_merge: list[tuple[int, int]]


def search(corpus: Corpus | None, user: User) -> Search:
    """The search that runs or waits, the last one that went through, and the clusters it would have joined; of what the
    person may see."""
    jobs = Job.objects.filter(kind="cluster").order_by("-id")
    last = jobs.filter(state=JobState.DONE).first()
    pairs = [(int(a), int(b)) for a, b in (last.result.get("to_merge", []) if last else [])]
    named = {pk for pair in pairs for pk in pair}
    there = set(
        open_clusters(DuplicateCluster.objects.filter(pk__in=named), user).values_list("pk", flat=True)
    )
    videos = narrow(Video.objects.filter(media__state=MediaState.READY), user)
    if corpus is not None:
        videos = videos.filter(corpus=corpus)
    return Search(
        under_way=jobs.filter(state__in=[JobState.QUEUED, JobState.PAUSED, JobState.RUNNING]).first(),
        last=last,
        missing=videos.exclude(media__fingerprint__method=METHOD).count(),
        to_merge=[pair for pair in pairs if there.issuperset(pair)][:SHOWN_SUGGESTIONS],
    )


def verdicts() -> QuerySet[DuplicateVerdict]:
    """Everything that people said of two videos, the newest first."""
    said = DuplicateVerdict.objects.select_related(
        "by", "first__media", "first__corpus", "second__media", "second__corpus"
    )
    return said.defer("first__media__time_map", "second__media__time_map").order_by("-id")
