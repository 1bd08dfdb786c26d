"""Fingerprints of media: made in a child process that can be killed."""

from typing import Any, Final

from django.utils import timezone

from annotations.corpora.decoding import decoding_child
from annotations.corpora.duplicates import METHOD
from annotations.corpora.duplicates.fingerprint import make_fingerprint
from annotations.corpora.duplicates.queueing import search_new_when_made
from annotations.corpora.media.findings import MediaError
from annotations.corpora.models import Fingerprint, Media, MediaState, Severity, Video, VideoFinding
from crashdesk.jobs.running import Running
from crashdesk.storage.files import local_path

NO_FINGERPRINT: Final = "no_fingerprint"


def fingerprint_work(running: Running) -> dict[str, Any]:
    """The job "fingerprint", args {"media_id"}. Safe to start again: a fingerprint of today's method is kept.

    When no other fingerprint waits to be made, copies of the new clips are searched.
    """
    media_id = running.job.args["media_id"]
    made = make_for(media_id)
    search_new_when_made()
    return {"media_id": media_id, "made": made}


def make_for(media_id: int) -> bool:
    """Make a media's fingerprint unless it has one. False where it cannot have one: it is not ready, or does not
    decode as it did before (its videos get the finding no_fingerprint). OSError when its bytes cannot be read."""
    media = Media.objects.get(pk=media_id)
    if media.state != MediaState.READY:
        return False
    if Fingerprint.objects.filter(media=media, method=METHOD).exists():
        return True
    try:
        with local_path(media.storage_name) as path:
            data = decoding_child().call(make_fingerprint, path, media.times)
    except MediaError as error:
        _note(media, error)
        return False
    made = {"method": METHOD, "data": data, "made_at": timezone.now()}
    Fingerprint.objects.update_or_create(media=media, defaults=made)
    VideoFinding.objects.filter(video__media=media, code=NO_FINGERPRINT).delete()
    return True


def _note(media: Media, error: MediaError) -> None:
    message = f"duplicates of this clip cannot be found: {error.finding.message}"
    VideoFinding.objects.bulk_create(
        [
            VideoFinding(
                video=video, code=NO_FINGERPRINT, severity=Severity.WARNING, message=message[:500],
                data={"reason": error.finding.code.value},
            )
            for video in Video.objects.filter(media=media)
        ],
        update_conflicts=True, unique_fields=["video", "code", "subject"],
        update_fields=["severity", "message", "data"],
    )  # fmt: skip
