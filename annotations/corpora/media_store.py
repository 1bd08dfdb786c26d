"""Clips' bytes in the store, and videos' ties to them. Same bytes are one Media however often they come."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from django.db import transaction

from annotations.corpora.importers.places import CLIP_SUFFIXES
from annotations.corpora.importers.rows import VideoRow
from annotations.corpora.media.findings import Code
from annotations.corpora.models import (
    Corpus,
    Media,
    MediaState,
    RecordingOrigin,
    Severity,
    Video,
    VideoFinding,
)
from crashdesk.bulk import AnyOf, insert_rows
from crashdesk.jobs.models import Job, JobState
from crashdesk.storage.files import put_content

PROCESSING_FAILED = "processing_failed"
GUESSED = [RecordingOrigin.NAME, RecordingOrigin.CLUSTER]
"""What told a recording that an id of a format replaces."""
FILLED_IN = ["source", "split", "url", "recording", "recording_origin", "metadata"]
MEDIA_CODES = [code.value for code in Code]


@dataclass(frozen=True)
class Stored:
    """A clip's bytes, safely in the store."""

    name: str
    sha256: str
    size: int


def store(path: Path) -> Stored:
    """Put a clip's bytes into the store. OSError when it cannot be read, ContentChanged when it is being written."""
    suffix = path.suffix.lower()
    return Stored(*put_content("videos", path, suffix if suffix in CLIP_SUFFIXES else ""))


def ensure_media(stored: Sequence[Stored]) -> tuple[dict[str, Media], list[int]]:
    """The Media of these bytes by SHA-256, made where missing, and the ids of those made now.

    The rows stay locked until the transaction ends: process_media cannot finish between a new video's creation and
    the copying of findings to it.
    """
    by_sha = {item.sha256: item for item in stored}
    known = set(Media.objects.filter(sha256__in=by_sha).values_list("sha256", flat=True))
    missing = sorted(by_sha.keys() - known)
    Media.objects.bulk_create(
        [Media(sha256=sha, size=by_sha[sha].size, storage_name=by_sha[sha].name) for sha in missing],
        ignore_conflicts=True,
    )
    locked = (
        Media.objects.filter(sha256__in=by_sha)
        .select_for_update(no_key=True)
        .order_by("id")
        .defer("time_map")
    )
    media = {item.sha256: item for item in locked}
    return media, [media[sha].pk for sha in missing]


@transaction.atomic
def ensure_videos(corpus: Corpus, rows: Iterable[VideoRow], media: dict[str, Media]) -> dict[str, Video]:
    """The corpus's videos of these rows by name, made where missing, tied to their media.

    `media`: by row name, already locked (see ensure_media). A video that has media keeps it; what a known video
    lacks (source, split, address, entries of its metadata, a recording better than its own name) is filled in from
    the rows, and nothing that it has is overwritten.
    """
    rows = list(rows)
    wanted = {row.name: row for row in reversed(rows)}  # the first row that names a clip makes it
    ours = Video.objects.filter(corpus=corpus, name__in=wanted)
    known = set(ours.values_list("name", flat=True))
    Video.objects.bulk_create(
        [
            Video(corpus=corpus, name=row.name, source=row.source, recording=row.recording,
                  recording_origin=row.recording_origin, split=row.split, url=row.url, metadata=row.metadata,
                  media=media.get(row.name))
            for row in reversed(wanted.values()) if row.name not in known
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    locked = (
        ours.select_related("media").defer("media__time_map").select_for_update(no_key=True, of=("self",))
    )
    videos = {video.name: video for video in locked.order_by("id")}
    late = [video for video in videos.values() if video.media_id is None and video.name in media]
    for video in late:
        video.media = media[video.name]
    Video.objects.bulk_update(late, ["media"])
    _fill_in(rows, videos)
    note_shared_media(
        corpus, [video for video in videos.values() if video.media_id is not None and video.name in media]
    )
    return videos


class PlainVideo(NamedTuple):
    """A video that a batch of rows changes nothing of. `media`: id, state and time of its media, if it has any."""

    pk: int
    created_at: datetime
    media: tuple[int, str, datetime] | None


@transaction.atomic
def plain_videos(corpus: Corpus, rows: Iterable[VideoRow]) -> dict[str, PlainVideo]:
    """The videos of rows without bytes by name, made where missing, without locks and without an object each.

    Left out is whoever needs ensure_videos: videos that have something to gain from a row, and those that another
    import makes at this moment.
    """
    by_name: dict[str, list[VideoRow]] = {}
    for row in rows:
        by_name.setdefault(row.name, []).append(row)
    found: dict[str, PlainVideo | None] = {}
    for name, pk, created_at, media_id, state, stored_at, *held in Video.objects.filter(
        AnyOf("name", by_name, kind="text"), corpus=corpus
    ).values_list(
        "name", "pk", "created_at", "media_id", "media__state", "media__created_at",
        "source", "split", "url", "recording_origin", "metadata",
    ):  # fmt: skip
        media = (media_id, state, stored_at) if media_id is not None else None
        gains = any(_gains(row, *held) for row in by_name[name])
        found[name] = None if gains else PlainVideo(pk, created_at, media)
    new = [
        first
        for name, (first, *others) in by_name.items()
        if name not in found
        and not any(
            _gains(row, first.source, first.split, first.url, first.recording_origin, first.metadata)
            for row in others
        )
    ]
    names = ["name", "source", "recording", "recording_origin", "split", "url", "metadata"]
    made = insert_rows(
        Video,
        names,
        [
            (row.name, row.source, row.recording, row.recording_origin, row.split, row.url, row.metadata)
            for row in new
        ],
        same={"corpus": corpus.pk},
        returning=["name", "id", "created_at"],
    )
    found |= {name: PlainVideo(pk, created_at, None) for name, pk, created_at in made}
    return {name: video for name, video in found.items() if video is not None}


def _gains(
    row: VideoRow, source: str, split: str, url: str, recording_origin: str, metadata: dict[str, Any]
) -> bool:
    """Whether the row knows something that a video with these values lacks."""
    return bool(
        (row.source and not source)
        or (row.split and not split)
        or (row.url and not url)
        or (recording_origin in GUESSED and row.recording_origin == RecordingOrigin.FORMAT)
        or (row.metadata and row.metadata.keys() - metadata.keys())
    )


def _fill_in(rows: Iterable[VideoRow], videos: dict[str, Video]) -> None:
    """Give known videos what their rows know and they do not."""
    changed: dict[int, Video] = {}
    for row in rows:
        video = videos[row.name]
        if not _gains(row, video.source, video.split, video.url, video.recording_origin, video.metadata):
            continue
        video.source, video.split = video.source or row.source, video.split or row.split
        video.url = video.url or row.url
        if video.recording_origin in GUESSED and row.recording_origin == RecordingOrigin.FORMAT:
            video.recording, video.recording_origin = row.recording, row.recording_origin
        video.metadata = row.metadata | video.metadata
        changed[video.pk] = video
    Video.objects.bulk_update(changed.values(), FILLED_IN, batch_size=500)


def note_shared_media(corpus: Corpus, videos: Sequence[Video]) -> None:
    """Give videos what is known of their media: findings of its probing, and `duplicate_of` inside the corpus."""
    media_ids = {video.media_id for video in videos}
    findings = []
    first: dict[int | None, Video] = {}
    for video in Video.objects.filter(corpus=corpus, media__in=media_ids).order_by("id"):
        original = first.setdefault(video.media_id, video)
        if original.pk != video.pk:
            findings.append(
                VideoFinding(
                    video=video, code="duplicate_of", severity=Severity.INFO,
                    message=f"has the same bytes as {original.name}"[:500],
                    data={"video": original.pk, "name": original.name},
                )
            )  # fmt: skip
    probed = {video.media_id for video in videos if video.media and video.media.state != MediaState.PENDING}
    of_media: dict[int | None, dict[str, VideoFinding]] = {}
    for row in VideoFinding.objects.filter(video__media__in=probed, code__in=MEDIA_CODES).select_related(
        "video"
    ):
        of_media.setdefault(row.video.media_id, {}).setdefault(row.code, row)
    for video in videos:
        findings += [
            VideoFinding(
                video=video, code=row.code, severity=row.severity, message=row.message, data=row.data
            )
            for row in of_media.get(video.media_id, {}).values()
        ]
    VideoFinding.objects.bulk_create(findings, ignore_conflicts=True, batch_size=1000)


def unattended_media(videos: Iterable[Video], *, but: Collection[int]) -> list[int]:
    """Ids of the videos' media that wait to be examined while no job is open that would do it, without `but`."""
    pending = {
        video.media.pk
        for video in videos
        if video.media is not None and video.media.state == MediaState.PENDING
    }
    pending -= set(but)
    if not pending:
        return []
    attended = Job.objects.filter(
        kind="media", state__in=[JobState.QUEUED, JobState.RUNNING], args__media_id__in=pending
    ).values_list("args__media_id", flat=True)
    return sorted(pending - set(attended))


@transaction.atomic
def note_processing_failed(media_id: int, job: Job) -> Media | None:
    """Name on every video of a pending media that the job which should have examined it has ended without doing so.

    Returns the media, locked; None where there is none. Media that are examined get no finding.
    """
    media = Media.objects.select_for_update(no_key=True).defer("time_map").filter(pk=media_id).first()
    if media is None or media.state != MediaState.PENDING:
        return media
    lines = job.error.strip().splitlines()
    how = "was cancelled" if job.state == JobState.CANCELLED else "failed"
    message = f"processing {how}: {lines[-1].strip()}" if lines else f"processing {how}"
    VideoFinding.objects.bulk_create(
        [
            VideoFinding(
                video=video, code=PROCESSING_FAILED, severity=Severity.ERROR, message=message[:500],
                data={"job": job.pk, "state": job.state},
            )
            for video in Video.objects.filter(media=media)
        ],
        update_conflicts=True, unique_fields=["video", "code", "subject"],
        update_fields=["severity", "message", "data"], batch_size=1000,
    )  # fmt: skip
    return media
