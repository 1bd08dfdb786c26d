"""What a person does to clusters of near duplicates. Each act is remembered as a verdict, which later searches obey.

A newer act overrules older ones: who adds a video that was once taken out withdraws what was said then. Where a cluster
gains or loses videos, the corpora it reaches are audited anew.
"""

from collections.abc import Collection, Sequence

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from annotations.corpora.access import narrow, require
from annotations.corpora.audit_requests import audit_clustered_corpora
from annotations.corpora.duplicates.opening import open_clusters, open_verdicts
from annotations.corpora.duplicates.queueing import lock_clusters
from annotations.corpora.duplicates.settling import settle
from annotations.corpora.models import DuplicateCluster, DuplicateMember, DuplicateVerdict, Video
from crashdesk.accounts.models import User
from crashdesk.accounts.permissions import Action
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record

MAX_REASON = 300


@transaction.atomic
def create_cluster(*, video_ids: Collection[int], reason: str, by: User) -> DuplicateCluster:
    """A cluster of two or more videos that are in none. Problem videos_needed, video_missing, in_another_cluster."""
    lock_clusters()
    wanted = sorted(set(video_ids))
    if len(wanted) < 2:
        raise Problem(
            "videos_needed", "A cluster has two videos or more.", fields={"videos": ["two or more"]}, status=400
        )  # fmt: skip
    _known(wanted, by)
    _in_no_cluster(wanted)
    cluster = DuplicateCluster.objects.create()
    DuplicateMember.objects.bulk_create(
        [DuplicateMember(cluster=cluster, video_id=video, added_by=by) for video in wanted]
    )
    for video in wanted[1:]:
        _judge(wanted[0], video, same=True, reason=reason, by=by)
    _overrule(wanted, wanted)
    record(
        actor=by,
        verb="duplicate_cluster.created",
        subject=cluster,
        data={"videos": wanted, "reason": reason},
    )
    _changed([cluster.pk], by=by)
    return cluster


@transaction.atomic
def confirm(*, cluster_id: int, by: User, note: str | None = None) -> DuplicateCluster:
    """Say that every member belongs: proposals become members, and no search takes any out.

    Problem cluster_confirmed when it is confirmed already and nothing was proposed since.
    """
    lock_clusters()
    cluster = _cluster(cluster_id, by)
    proposed = list(cluster.members.filter(evidence__proposed=True))
    if cluster.confirmed_at is not None and not proposed:
        raise Problem("cluster_confirmed", f"Cluster {cluster_id} is confirmed already.")
    for member in proposed:
        del member.evidence["proposed"]
    DuplicateMember.objects.bulk_update(proposed, ["evidence"])
    cluster.confirmed_at, cluster.confirmed_by = timezone.now(), by
    cluster.note = cluster.note if note is None else note
    cluster.save(update_fields=["confirmed_at", "confirmed_by", "note"])
    videos = sorted(cluster.members.values_list("video_id", flat=True))
    record(actor=by, verb="duplicate_cluster.confirmed", subject=cluster, data={"videos": videos})
    settle(clusters=[cluster.pk], by=by)
    return cluster


@transaction.atomic
def remove_member(*, cluster_id: int, video_id: int, reason: str, by: User) -> DuplicateCluster | None:
    """Take a video out: it is different from every other member, and no search joins it with them again.

    A recording that it got from the cluster is taken back. Returns the cluster, or None where one video was left and
    the cluster ended. Problem not_a_member.
    """
    lock_clusters()
    cluster = _cluster(cluster_id, by)
    members = list(cluster.members.select_for_update().order_by("video_id"))
    leaving = [member for member in members if member.video_id == video_id]
    if not leaving:
        raise Problem(
            "not_a_member", f"Video {video_id} is not in cluster {cluster_id}.",
            fields={"video": ["is not in the cluster"]}, status=400,
        )  # fmt: skip
    others = [member.video_id for member in members if member.video_id != video_id]
    for other in others:
        _judge(video_id, other, same=False, reason=reason, by=by)
    record(
        actor=by, verb="duplicate_cluster.member_removed", subject=cluster,
        data={"video": video_id, "others": others, "reason": reason},
    )  # fmt: skip
    return _without(cluster, leaving, by=by)


@transaction.atomic
def add_video(*, cluster_id: int, video_id: int, reason: str, by: User) -> DuplicateCluster:
    """Put a video in, which withdraws what was said of it and the members. Problem video_missing, in_another_cluster
    (merge the two instead)."""
    lock_clusters()
    cluster = _cluster(cluster_id, by)
    _known([video_id], by)
    _in_no_cluster([video_id])
    members = sorted(cluster.members.values_list("video_id", flat=True))
    overruled = _overrule([video_id], members)
    _judge(members[0], video_id, same=True, reason=reason, by=by)
    DuplicateMember.objects.create(cluster=cluster, video_id=video_id, added_by=by)
    record(
        actor=by, verb="duplicate_cluster.video_added", subject=cluster,
        data={"video": video_id, "overruled": overruled, "reason": reason},
    )  # fmt: skip
    _changed([cluster.pk], by=by)
    return cluster


@transaction.atomic
def merge(*, cluster_ids: Collection[int], reason: str, by: User) -> DuplicateCluster:
    """Make one cluster of several: the one with the lowest id goes on, confirmed where it was. Problem clusters_needed,
    cluster_missing."""
    lock_clusters()
    wanted = sorted(set(cluster_ids))
    if len(wanted) < 2:
        raise Problem(
            "clusters_needed", "Two clusters or more are needed.", fields={"clusters": ["two or more"]}, status=400
        )  # fmt: skip
    target, *others = [_cluster(cluster_id, by) for cluster_id in wanted]
    held = {
        cluster.pk: sorted(cluster.members.values_list("video_id", flat=True))
        for cluster in (target, *others)
    }
    overruled: list[list[int]] = []
    together = list(held[target.pk])
    for cluster in others:
        overruled += _overrule(together, held[cluster.pk])
        _judge(held[target.pk][0], held[cluster.pk][0], same=True, reason=reason, by=by)
        together += held[cluster.pk]
        record(actor=by, verb="duplicate_cluster.merged_away", subject=cluster, data={"into": target.pk})
    DuplicateMember.objects.filter(cluster__in=others).update(cluster=target)
    DuplicateCluster.objects.filter(pk__in=[cluster.pk for cluster in others]).delete()
    record(
        actor=by, verb="duplicate_cluster.merged", subject=target,
        data={"clusters": wanted[1:], "videos": sorted(together), "overruled": overruled, "reason": reason},
    )  # fmt: skip
    _changed([target.pk], by=by)
    return target


@transaction.atomic
def withdraw_verdict(*, verdict_id: int, by: User) -> None:
    """Forget what a person said of two videos. Problem verdict_missing.

    A video that was put into its cluster by that word alone leaves it; one that a search had found stays, and the next
    search decides anew.
    """
    lock_clusters()
    verdict = DuplicateVerdict.objects.select_for_update().filter(pk=verdict_id).first()
    if verdict is None or not open_verdicts(DuplicateVerdict.objects.filter(pk=verdict_id), by).exists():
        raise Problem("verdict_missing", f"There is no verdict {verdict_id}.", status=404)
    pair = [verdict.first_id, verdict.second_id]
    _changeable(Video.objects.filter(pk__in=pair), by)
    record(
        actor=by, verb="duplicate_verdict.withdrawn", subject=verdict,
        data={"videos": pair, "same": verdict.same, "reason": verdict.reason},
    )  # fmt: skip
    verdict.delete()
    on_them = Q(first__in=pair) | Q(second__in=pair)
    said = DuplicateVerdict.objects.filter(on_them, same=True).values_list("first_id", "second_id")
    spoken_for = {video for judged in said for video in judged}
    by_hand = DuplicateMember.objects.filter(video__in=set(pair) - spoken_for, added_by__isnull=False)
    by_hand.filter(evidence__has_key="nearest").update(added_by=None)
    leaving: dict[int, list[DuplicateMember]] = {}
    for member in by_hand.exclude(evidence__has_key="nearest").order_by("video_id"):
        leaving.setdefault(member.cluster_id, []).append(member)
    for cluster_id, found in sorted(leaving.items()):
        _without(_cluster(cluster_id, by), found, by=by)


def _without(
    cluster: DuplicateCluster, leaving: Sequence[DuplicateMember], *, by: User
) -> DuplicateCluster | None:
    """The cluster without these members; None where fewer than two are left, and so it ended."""
    ids = {member.pk for member in leaving}
    staying = [member for member in cluster.members.order_by("video_id") if member.pk not in ids]
    ends = len(staying) < 2
    left = [*leaving, *(staying if ends else ())]
    DuplicateMember.objects.filter(pk__in=[member.pk for member in left]).delete()
    _changed([] if ends else [cluster.pk], left=left, by=by)
    if not ends:
        return cluster
    record(actor=by, verb="duplicate_cluster.dissolved", subject=cluster,
           data={"left": [member.video_id for member in left]})  # fmt: skip
    cluster.delete()
    return None


def _changed(cluster_ids: Sequence[int], *, left: Sequence[DuplicateMember] = (), by: User) -> None:
    """See to the videos of clusters whose members have changed, and of those that `left` one."""
    settle(clusters=cluster_ids, left=left, by=by)
    audit_clustered_corpora(cluster_ids, [member.video_id for member in left], by=by)


def _cluster(cluster_id: int, by: User) -> DuplicateCluster:
    """A cluster that the person may change, for which they must be allowed to import into all its corpora."""
    inhabited = Exists(DuplicateMember.objects.filter(cluster=OuterRef("pk")))
    cluster = DuplicateCluster.objects.select_for_update().filter(inhabited, pk=cluster_id).first()
    if cluster is None or not open_clusters(DuplicateCluster.objects.filter(pk=cluster_id), by).exists():
        raise Problem("cluster_missing", f"There is no cluster {cluster_id}.", status=404)
    _changeable(Video.objects.filter(duplicate_member__cluster=cluster), by)
    return cluster


def _changeable(videos: QuerySet[Video], by: User) -> None:
    for corpus_id in sorted(set(videos.values_list("corpus_id", flat=True))):
        require(by, Action.IMPORT, corpus_id)


def _known(video_ids: Sequence[int], by: User) -> None:
    found = narrow(Video.objects.filter(pk__in=video_ids), by)
    missing = sorted(set(video_ids) - set(found.values_list("pk", flat=True)))
    if missing:
        raise Problem(
            "video_missing", f"There is no video {missing[0]}.",
            fields={"videos": [f"{video} does not exist" for video in missing]}, status=400,
        )  # fmt: skip
    _changeable(found, by)


def _in_no_cluster(video_ids: Sequence[int]) -> None:
    held = DuplicateMember.objects.filter(video__in=video_ids).values_list("video_id", "cluster_id").first()
    if held is not None:
        raise Problem(
            "in_another_cluster", f"Video {held[0]} is in cluster {held[1]} already.",
            fields={"videos": [f"{held[0]} is in cluster {held[1]}"]},
        )  # fmt: skip


def _judge(one: int, other: int, *, same: bool, reason: str, by: User) -> None:
    DuplicateVerdict.objects.update_or_create(
        first_id=min(one, other),
        second_id=max(one, other),
        defaults={"same": same, "reason": reason[:MAX_REASON], "by": by},
    )


def _overrule(some: Sequence[int], others: Sequence[int]) -> list[list[int]]:
    """Withdraw every "different" between the two; returns the pairs."""
    between = DuplicateVerdict.objects.filter(same=False).filter(
        Q(first__in=some, second__in=others) | Q(first__in=others, second__in=some)
    )
    pairs = [list(pair) for pair in between.order_by("id").values_list("first_id", "second_id")]
    between.delete()
    return pairs
