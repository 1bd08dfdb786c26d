"""The search for near duplicates: links between media become clusters of videos, and persons' word is obeyed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from django.db import transaction

from annotations.corpora.audit_requests import audit_clustered_corpora
from annotations.corpora.duplicates.clustering import Group, Grouping, Link, group
from annotations.corpora.duplicates.linking import Progress, find_links
from annotations.corpora.duplicates.matching import Alignment
from annotations.corpora.duplicates.queueing import lock_clusters, searched_until
from annotations.corpora.duplicates.search import Pair
from annotations.corpora.duplicates.settling import BEFORE, edited_clusters, settle
from annotations.corpora.models import (
    DuplicateCluster,
    DuplicateMember,
    DuplicateVerdict,
    MediaState,
    Video,
)
from crashdesk.accounts.models import User
from crashdesk.audit.services import record_many
from crashdesk.jobs.running import Running

_EXACT: Final = 2.0
_EARLIER: Final = 3.0


@dataclass(frozen=True)
class Outcome:
    """What a search did. `to_merge`: pairs of clusters that persons made and that look alike: left to a person."""

    pairs: int
    clusters: int
    members: int
    created: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    to_merge: list[list[int]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "pairs": self.pairs, "clusters": self.clusters, "members": self.members, "created": len(self.created),
            "ended": len(self.ended), "changed": len(self.changed), "to_merge": self.to_merge[:100],
        }  # fmt: skip


def cluster_work(running: Running) -> dict[str, Any]:
    """The job "cluster", args {"corpus_id": id or null, "new_only": bool}.

    Safe to start again: the same clips give the same clusters. `new_only`: only clips whose fingerprint was made since
    the last search are compared with all (all of them before the first search).
    """
    args = running.job.args
    since = searched_until() if args.get("new_only") else None
    outcome = find_clusters(corpus_id=args.get("corpus_id"), since=since, by=None, progress=running.progress)
    return outcome.as_dict()


def find_clusters(
    *, corpus_id: int | None, by: User | None, progress: Progress, since: datetime | None = None
) -> Outcome:
    """Compare fingerprints and bring the clusters in line.

    With a corpus, or a time, only its clips, or those with a fingerprint made since, are compared with all others:
    clusters grow and may join, and none comes apart. Without, clusters that no link holds together any more come
    apart too. A cluster that a person edited keeps its members, and what is found for it comes in as a proposal
    (evidence "proposed").
    """
    links = find_links(corpus_id, since, progress)
    return apply_links(links, partial=corpus_id is not None or since is not None, by=by)


@transaction.atomic
def apply_links(links: Mapping[Pair, Alignment], *, partial: bool, by: User | None) -> Outcome:
    """Make clusters of links between media (smaller id first) and of equal bytes. One at a time on the whole server.

    `partial`: the links are not all there are, so members of a cluster stay together.
    """
    lock_clusters()
    members = list(DuplicateMember.objects.select_for_update().order_by("video_id"))
    earlier: dict[int, set[int]] = {}
    for member in members:
        earlier.setdefault(member.cluster_id, set()).add(member.video_id)
    verdicts = list(DuplicateVerdict.objects.values_list("first_id", "second_id", "same"))
    edited = edited_clusters(members, {video for verdict in verdicts for video in verdict[:2]})
    nearest = _Nearest()
    grouping = group(
        [*_video_links(links, nearest), *(_earlier_links(earlier) if partial else ())],
        together=[(first, second) for first, second, same in verdicts if same],
        apart=[(first, second) for first, second, same in verdicts if not same],
        kept={cluster: earlier[cluster] for cluster in edited},
        earlier=earlier,
    )
    return _write(grouping, members, edited, nearest, pairs=len(links), by=by)


class _Nearest:
    """What speaks for each video's place: its links, likest first."""

    def __init__(self) -> None:
        self._links: dict[int, list[tuple[float, int, dict[str, Any]]]] = {}

    def note(self, video: int, other: int, strength: float, evidence: dict[str, Any]) -> None:
        self._links.setdefault(video, []).append((-strength, other, evidence))

    def evidence(self, video: int, among: frozenset[int]) -> dict[str, Any]:
        """Of the likest of those videos; empty where none looks like it."""
        links = [link for link in self._links.get(video, ()) if link[1] in among]
        if not links:
            return {}
        _, other, evidence = min(links, key=lambda link: link[:2])
        return {"nearest": other, **evidence}


def _video_links(links: Mapping[Pair, Alignment], nearest: _Nearest) -> Iterator[Link]:
    """Links between videos: those of the same media, and all pairs of videos of linked media."""
    shown: dict[int, list[int]] = {}
    rows = Video.objects.filter(media__state=MediaState.READY).order_by("id").values_list("media_id", "id")
    linked = {media for pair in links for media in pair}
    for media, video in rows.iterator(5000):
        if media is not None:
            shown.setdefault(media, []).append(video)
    for media in [media for media in shown if media not in linked and len(shown[media]) == 1]:
        del shown[media]
    for videos in shown.values():
        for first, second in pairwise(videos):
            yield Link(first, second, _EXACT)
            for video, other in ((first, second), (second, first)):
                nearest.note(video, other, _EXACT, {"exact": True, "similarity": 1.0, "shift_us": 0})
    for (one, other), alignment in links.items():
        for first in shown.get(one, ()):
            for second in shown.get(other, ()):
                yield Link(min(first, second), max(first, second), alignment.strength)
                nearest.note(first, second, alignment.strength, evidence_of(alignment))
                nearest.note(second, first, alignment.strength, evidence_of(alignment, turned=True))


def evidence_of(alignment: Alignment, *, turned: bool = False) -> dict[str, Any]:
    """What a member's evidence says of an alignment of its video (first) with its nearest (second).

    similarity: share of hash bits that agree, 0 .. 1; motion: -1 .. 1 or null; shift_us: what the video shows at t,
    the nearest shows at t - shift_us; overlap_us.
    """
    return {
        "exact": False,
        "similarity": round(1.0 - alignment.distance, 4),
        "motion": None if alignment.motion is None else round(alignment.motion, 4),
        "shift_us": -alignment.shift_us if turned else alignment.shift_us,
        "overlap_us": alignment.overlap_us,
    }


def _earlier_links(earlier: Mapping[int, set[int]]) -> Iterator[Link]:
    for videos in earlier.values():
        ordered = sorted(videos)
        for first, second in pairwise(ordered):
            yield Link(first, second, _EARLIER)


def _write(
    grouping: Grouping,
    members: Iterable[DuplicateMember],
    edited: set[int],
    nearest: _Nearest,
    *,
    pairs: int,
    by: User | None,
) -> Outcome:
    """Make the rows say what the grouping says; only rows that differ are touched."""
    held = {member.video_id: member for member in members}
    known = {member.cluster_id for member in held.values()}
    clusters = _with_ids(grouping.groups)
    created = sorted(clusters.keys() - known)
    touched: dict[int, dict[str, list[int]]] = {}
    new: list[DuplicateMember] = []
    moved: list[DuplicateMember] = []
    for cluster, found in clusters.items():
        for video in sorted(found.videos):
            member = held.pop(video, None)
            if member is not None and member.cluster_id == cluster and cluster in edited:
                continue
            evidence = nearest.evidence(video, found.videos)
            if cluster in edited:
                evidence["proposed"] = True
            if member is None:
                new.append(DuplicateMember(cluster_id=cluster, video_id=video, evidence=evidence))
                touched.setdefault(cluster, {}).setdefault("joined", []).append(video)
                continue
            kept = {BEFORE: member.evidence[BEFORE]} if BEFORE in member.evidence else {}
            evidence = {**_stronger(evidence, member.evidence, found.videos), **kept}
            if member.cluster_id != cluster:
                touched.setdefault(cluster, {}).setdefault("joined", []).append(video)
                touched.setdefault(member.cluster_id, {}).setdefault("left", []).append(video)
            elif member.evidence == evidence:
                continue
            else:
                touched.setdefault(cluster, {})
            member.cluster_id, member.evidence = cluster, evidence
            moved.append(member)
    for member in held.values():
        touched.setdefault(member.cluster_id, {}).setdefault("left", []).append(member.video_id)
    ended = sorted(known - clusters.keys())
    DuplicateMember.objects.filter(pk__in=[member.pk for member in held.values()]).delete()
    DuplicateMember.objects.bulk_update(moved, ["cluster", "evidence"], batch_size=1000)
    DuplicateMember.objects.bulk_create(new, batch_size=1000)
    _audit(touched, created=created, ended=ended, by=by)
    DuplicateCluster.objects.filter(members__isnull=True).delete()
    settle(clusters=touched.keys() - set(ended), left=list(held.values()), by=by)
    changed = [cluster for cluster, change in touched.items() if change]
    audit_clustered_corpora(changed, [member.video_id for member in held.values()], by=by)
    return Outcome(
        pairs=pairs, clusters=len(clusters), members=sum(len(found.videos) for found in clusters.values()),
        created=created, ended=ended, changed=sorted(touched.keys() - set(created) - set(ended)),
        to_merge=[list(pair) for pair in grouping.unjoined],
    )  # fmt: skip


def _stronger(found: dict[str, Any], held: dict[str, Any], videos: frozenset[int]) -> dict[str, Any]:
    """The evidence to keep: what was found now, unless what is known already speaks stronger of a fellow member."""
    if held.get("nearest") not in videos or "proposed" in found:
        return found
    known = {name: value for name, value in held.items() if name not in (BEFORE, "proposed")}
    return found if found and found["similarity"] >= known["similarity"] else known


def _with_ids(groups: Iterable[Group]) -> dict[int, Group]:
    """Groups by cluster id; new clusters are made for those that have none."""
    found = list(groups)
    fresh = [item for item in found if item.cluster is None]
    made = DuplicateCluster.objects.bulk_create([DuplicateCluster() for _ in fresh])
    named = {item.cluster: item for item in found if item.cluster is not None}
    return named | {cluster.pk: item for cluster, item in zip(made, fresh, strict=True)}


def _audit(
    touched: Mapping[int, dict[str, list[int]]], *, created: list[int], ended: list[int], by: User | None
) -> None:
    """A row per cluster that gained or lost videos."""
    for cluster, change in touched.items():
        if not change:
            continue
        verb = "found" if cluster in created else "dissolved" if cluster in ended else "changed"
        subject = DuplicateCluster(pk=cluster)
        record_many(actor=by, verb=f"duplicate_cluster.{verb}", subjects=[subject], data=dict(change))
