"""What is done to each clip once: probed, made ready for browsers, and settled as ready or unusable."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from django.db import transaction
from django.utils import timezone

from annotations.corpora.decoding import decoding_child
from annotations.corpora.media.examine import Examined, examine
from annotations.corpora.media.findings import Code
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.render import PROXY, STORYBOARD, THUMBNAIL, Rendered
from annotations.corpora.media_store import PROCESSING_FAILED
from annotations.corpora.models import Media, MediaState, Video, VideoFinding
from crashdesk.audit.services import record
from crashdesk.storage.files import content_name, local_path, put

ENDED: Final = frozenset({Code.DECODE_TIMEOUT, Code.DECODER_CRASHED})


class ReaderEnded(Exception):
    """The reader of a clip was stopped or died. The clip may be to blame, or a busy or ending machine."""


def process_media(media_id: int, *, last_try: bool = True) -> Media:
    """Probe a clip, make what browsers need, and mark it ready or unusable; at once when that is done already.

    Decoding happens in a child process with a time and memory limit, so a hostile file is a finding, never a hang.
    Every video that shows the media gets its findings. OSError when the stored bytes cannot be read, ReaderEnded when
    the reader was stopped or died and this is not the `last_try`, which makes it a finding.
    """
    media = Media.objects.get(pk=media_id)
    if media.state != MediaState.PENDING:
        return media
    with TemporaryDirectory(prefix="crashdesk-media-") as folder, local_path(media.storage_name) as path:
        seen = examine(decoding_child(), path, Path(folder))
        ended = [found.message for found in seen.findings if found.code in ENDED]
        if ended and not last_try:
            raise ReaderEnded(ended[0])
        if seen.made is not None:
            _keep(media, path, Path(folder), seen.clip, seen.made)
    return _settle(media, seen)


def _keep(media: Media, path: Path, folder: Path, clip: Probe, made: Rendered) -> None:
    """Store what was made of the clip, and note it in `media` (unsaved)."""
    if made.proxy is None:  # the clip is what a browser needs: it only gets the proxy's name
        proxy, fps, frame_count = path, clip.fps, clip.frame_count
    else:
        proxy, fps, frame_count = folder / PROXY, made.proxy.fps, made.proxy.frame_count
    media.proxy_name = put(content_name("proxies", media.sha256, ".mp4"), proxy)
    media.proxy_fps_num, media.proxy_fps_den = fps.numerator, fps.denominator
    media.proxy_frame_count = frame_count
    media.thumbnail_name = put(content_name("thumbnails", media.sha256, ".jpg"), folder / THUMBNAIL)
    media.storyboard_name = put(content_name("storyboards", media.sha256, ".jpg"), folder / STORYBOARD)
    media.storyboard = made.board.as_dict()


@transaction.atomic
def _settle(examined: Media, seen: Examined) -> Media:
    """Write the outcome once: a second worker on the same media finds it settled and leaves it."""
    media = Media.objects.select_for_update(no_key=True).get(pk=examined.pk)
    if media.state != MediaState.PENDING:
        return media
    clip = seen.clip
    ready = clip.time_map is not None and examined.proxy_name != ""
    examined.state = MediaState.READY if ready else MediaState.UNUSABLE
    examined.container, examined.codec = clip.container[:60], clip.codec[:30]
    examined.width, examined.height, examined.rotation = (
        clip.width or None,
        clip.height or None,
        clip.rotation,
    )
    examined.has_audio, examined.variable_rate = clip.has_audio, clip.variable_rate
    if clip.time_map is not None:
        examined.fps_num, examined.fps_den = clip.fps.numerator, clip.fps.denominator
        examined.frame_count, examined.duration_us = clip.frame_count, clip.duration_us
        examined.start_us = clip.start_us
        examined.time_map = clip.time_map.encode()
    examined.probed_at = timezone.now()
    examined.save()
    VideoFinding.objects.filter(video__media=examined, code=PROCESSING_FAILED).delete()
    VideoFinding.objects.bulk_create(
        [
            VideoFinding(
                video=video, code=finding.code.value, severity=finding.severity.value,
                message=finding.message[:500], data=finding.data,
            )
            for video in Video.objects.filter(media=examined)
            for finding in seen.findings
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    record(
        actor=None,
        verb=f"media.{examined.state}",
        subject=examined,
        data={"findings": [f.code.value for f in seen.findings]},
    )
    return examined
