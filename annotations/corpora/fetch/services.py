"""Fetching clips from the addresses that imported files name. What becomes of the bytes is annotations.cases' part."""

from collections.abc import Callable, Iterable
from typing import Final

from django.conf import settings
from django.db import transaction

from annotations.corpora.fetch.download import Refused, Rules, download
from annotations.corpora.fetch.sniff import sniff
from annotations.corpora.media.findings import MediaError
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media_store import Stored
from annotations.corpora.models import Severity, Video, VideoFinding
from annotations.corpora.uploads.content import store_spool
from crashdesk.accounts.models import User
from crashdesk.jobs.models import Job, JobState
from crashdesk.jobs.services import enqueue_many
from crashdesk.storage.incoming import Spool

JOB: Final = "fetch"
REFUSED: Final = "fetch_refused"
FAILED: Final = "fetch_failed"
SNIFF_TIMEOUT_S: Final = 60


def usual_rules() -> Rules:
    """The limits that the settings name."""
    return Rules(max_bytes=settings.FETCH_MAX_BYTES, timeout_s=settings.FETCH_TIMEOUT_SECONDS)


@transaction.atomic
def enqueue_fetches(videos: Iterable[Video], *, by: User | None, group: str) -> int:
    """Queue a job "fetch" for each video that has an address and no media, unless one waits; returns how many.

    None at all while fetching is off (CRASHDESK_FETCH_URLS).
    """
    if not settings.FETCH_URLS:
        return 0
    wanted = {video.pk for video in videos if video.url and video.media_id is None}
    open_jobs = Job.objects.filter(
        kind=JOB, state__in=[JobState.QUEUED, JobState.RUNNING], args__video_id__in=sorted(wanted)
    )
    wanted -= set(open_jobs.values_list("args__video_id", flat=True))
    return len(enqueue_many(JOB, [{"video_id": pk} for pk in sorted(wanted)], by=by, group=group))


def fetch_clip(video: Video, *, rules: Rules, progress: Callable[[int, int | None], None]) -> Stored:
    """Get the video's clip from its address into the store. Refused, or Failed, with the reason."""
    with Spool() as spool:
        download(video.url, spool, rules=rules, progress=progress)
        if spool.size == 0:
            raise Refused("it is empty (0 bytes)")
        spool.flush()
        memory = settings.MEDIA_MEMORY_MB * 1024 * 1024
        with Isolated(timeout_s=SNIFF_TIMEOUT_S, memory_bytes=memory) as child:
            try:
                child.call(sniff, spool.path)
            except MediaError as error:
                reason = error.finding.message.replace(spool.path.name, "the file")
                raise Refused(f"its bytes are no video: {reason}") from error
        return store_spool(spool, video.name)


@transaction.atomic
def note_fetch(video_id: int, code: str, reason: str, *, url: str) -> None:
    """Name on a video why its clip was not fetched, in place of what was named before."""
    VideoFinding.objects.filter(video=video_id, code__in=[REFUSED, FAILED]).exclude(code=code).delete()
    what = "may not be fetched" if code == REFUSED else "could not be fetched"
    VideoFinding.objects.update_or_create(
        video_id=video_id, code=code, subject="",
        defaults={
            "severity": Severity.ERROR, "message": f"the clip {what} from {url[:200]}: {reason}"[:500],
            "data": {"url": url, "reason": reason[:500]},
        },
    )  # fmt: skip


def clear_fetch(video_id: int) -> None:
    """Take back what was named: the clip is there."""
    VideoFinding.objects.filter(video=video_id, code__in=[REFUSED, FAILED]).delete()
