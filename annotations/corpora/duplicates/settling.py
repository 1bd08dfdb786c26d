"""What clusters of near duplicates mean for their videos: findings, and recordings that must not straddle splits."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from django.db import transaction

from annotations.corpora.models import (
    DuplicateCluster,
    DuplicateMember,
    RecordingOrigin,
    Severity,
    Video,
    VideoFinding,
)
from crashdesk.accounts.models import User
from crashdesk.audit.services import record

NEAR_DUPLICATE: Final = "near_duplicate_of"
CONFLICT: Final = "recording_conflict"
BEFORE: Final = "recording_before"
"""Where a member's evidence keeps the recording that its video had before the cluster's."""


@transaction.atomic
def settle(*, clusters: Collection[int], left: Sequence[DuplicateMember] = (), by: User | None) -> None:
    """Bring videos in line with these clusters as they are now.

    `left`: memberships that have ended (deleted rows, with their evidence): such a video loses what its cluster gave
    it. A video whose recording a format or a person gave keeps it; where several such recordings meet in one
    cluster, each of their videos gets the finding recording_conflict and nothing is overwritten. The others take the
    recording of the earliest video (by id) that has a given one, else of the earliest video.
    """
    members: dict[int, list[DuplicateMember]] = {}
    rows = DuplicateMember.objects.filter(cluster__in=clusters).select_related("video__corpus")
    for member in rows.order_by("video_id"):
        members.setdefault(member.cluster_id, []).append(member)
    within = {member.video_id for found in members.values() for member in found}
    gone = [member for member in left if member.video_id not in within]
    moves = _Moves(by)
    _give_back(gone, moves)
    VideoFinding.objects.filter(
        video__in=within | {member.video_id for member in gone}, code__in=[NEAR_DUPLICATE, CONFLICT]
    ).delete()
    findings = []
    for found in members.values():
        _share_recording(found, moves)
        findings += _conflicts(found) + _near_duplicates(found)
    moves.write()
    VideoFinding.objects.bulk_create(findings, batch_size=1000)


def own_recording(member: DuplicateMember) -> str:
    """The recording that the member's video has without its cluster."""
    if member.video.recording_origin == RecordingOrigin.CLUSTER:
        return str(member.evidence.get(BEFORE, member.video.recording))
    return member.video.recording


def _given(members: Sequence[DuplicateMember]) -> list[Video]:
    told = (RecordingOrigin.FORMAT, RecordingOrigin.PERSON)
    return [member.video for member in members if member.video.recording_origin in told]


class _Moves:
    """Changes of videos' recordings, written together."""

    def __init__(self, by: User | None) -> None:
        self._by = by
        self._videos: list[Video] = []
        self._members: list[DuplicateMember] = []

    def to(self, video: Video, recording: str, origin: str, member: DuplicateMember) -> None:
        """Note a change and its audit row. `member`: the membership that it comes from."""
        data = {
            "from": video.recording, "to": recording, "origin": str(origin), "cluster": member.cluster_id,
        }  # fmt: skip
        record(actor=self._by, verb="video.recording_set", subject=video, data=data)
        video.recording, video.recording_origin = recording, origin
        self._videos.append(video)
        self._members.append(member)

    def write(self) -> None:
        Video.objects.bulk_update(self._videos, ["recording", "recording_origin"], batch_size=1000)
        kept = [member for member in self._members if member.pk is not None]
        DuplicateMember.objects.bulk_update(kept, ["evidence"], batch_size=1000)


def _share_recording(members: list[DuplicateMember], moves: _Moves) -> None:
    """Give the cluster's recording to videos that have none of their own."""
    given = _given(members)
    shared = given[0].recording if given else own_recording(members[0])
    for member in members:
        video = member.video
        if video.recording_origin not in (RecordingOrigin.NAME, RecordingOrigin.CLUSTER):
            continue
        own = own_recording(member)
        origin = RecordingOrigin.NAME if own == shared and member is members[0] else RecordingOrigin.CLUSTER
        if (video.recording, video.recording_origin) == (shared, origin):
            continue
        if origin == RecordingOrigin.CLUSTER:
            member.evidence[BEFORE] = own
        else:
            member.evidence.pop(BEFORE, None)
        moves.to(video, shared, origin, member)


def _give_back(left: Sequence[DuplicateMember], moves: _Moves) -> None:
    """Give videos the recording back that they had before their cluster's."""
    videos = Video.objects.in_bulk([member.video_id for member in left])
    for member in left:
        video = videos.get(member.video_id)
        if video is not None and video.recording_origin == RecordingOrigin.CLUSTER:
            moves.to(video, str(member.evidence.get(BEFORE, video.recording)), RecordingOrigin.NAME, member)


def _conflicts(members: list[DuplicateMember]) -> list[VideoFinding]:
    """One for every video whose given recording meets another in its cluster."""
    given = _given(members)
    recordings = list(dict.fromkeys(video.recording for video in given))
    if len(recordings) < 2:
        return []
    shown = ", ".join(recordings[:5]) + (" …" if len(recordings) > 5 else "")
    message = f"shows the same footage as videos of other recordings: {shown}"
    data = {"cluster": members[0].cluster_id, "recordings": recordings[:50]}
    return [
        VideoFinding(
            video=video, code=CONFLICT, severity=Severity.WARNING, message=message[:500], data=data
        )
        for video in given
    ]  # fmt: skip


def _near_duplicates(members: list[DuplicateMember]) -> list[VideoFinding]:
    """One for every video but the earliest, unless it says already that its bytes are another's."""
    by_video = {member.video_id: member for member in members}
    said = set(
        VideoFinding.objects.filter(video__in=by_video, code="duplicate_of").values_list(
            "video_id", flat=True
        )
    )
    found = []
    for member in members[1:]:
        if member.video_id in said:
            continue
        nearest = by_video.get(member.evidence.get("nearest", 0), members[0])
        other = nearest.video if nearest is not member else members[0].video
        where = "" if other.corpus_id == member.video.corpus_id else f" of {other.corpus.name}"
        how = "has the same bytes as" if member.evidence.get("exact") else "shows the same footage as"
        data: dict[str, Any] = {"video": other.pk, "name": other.name, "cluster": member.cluster_id}
        data |= {key: value for key, value in member.evidence.items() if key not in (BEFORE, "nearest")}
        found.append(
            VideoFinding(
                video=member.video, code=NEAR_DUPLICATE, severity=Severity.INFO,
                message=f"{how} {other.name}{where}"[:500], data=data,
            )
        )  # fmt: skip
    return found


def edited_clusters(members: Collection[DuplicateMember], judged: Collection[int]) -> set[int]:
    """Clusters that a person has had a hand in: confirmed, given a member, or with a video they judged.

    `judged`: videos that a verdict speaks of.
    """
    confirmed = set(DuplicateCluster.objects.filter(confirmed_at__isnull=False).values_list("pk", flat=True))
    return {
        member.cluster_id
        for member in members
        if member.cluster_id in confirmed or member.added_by_id is not None or member.video_id in judged
    }
