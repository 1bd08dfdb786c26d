"""Corpora, the start of imports, and the processing of media: every write of this room but the import itself."""

import threading
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from annotations.corpora.media.findings import Finding, MediaError
from annotations.corpora.media.isolate import Isolated
from annotations.corpora.media.probe import Probe
from annotations.corpora.media.proxy import make_proxy, make_thumbnail, needs_proxy
from annotations.corpora.media_store import PROCESSING_FAILED
from annotations.corpora.models import Corpus, ImportFormat, ImportRun, Media, MediaState, Video, VideoFinding
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.audit.services import record
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue
from crashdesk.storage.files import content_name, local_path, put

__all__ = ["begin_import", "create_corpus", "ensure_corpus", "process_media", "start_import"]


@transaction.atomic
def create_corpus(*, name: str, licence: str, terms: str, by: User | None) -> Corpus:
    """A new corpus. Problem corpus_exists when the name is taken."""
    try:
        with transaction.atomic():
            corpus = Corpus.objects.create(name=name, licence=licence, terms=terms, created_by=by)
    except IntegrityError as error:
        raise Problem(
            "corpus_exists", f"There is a corpus {name!r} already.", fields={"name": ["is taken"]}
        ) from error
    record(actor=by, verb="corpus.created", subject=corpus, data={"name": name})
    return corpus


@transaction.atomic
def ensure_corpus(*, name: str, by: User | None) -> Corpus:
    """The corpus of that name, made when absent."""
    corpus, created = Corpus.objects.get_or_create(name=name, defaults={"created_by": by})
    if created:
        record(actor=by, verb="corpus.created", subject=corpus, data={"name": name})
    return corpus


def _checked_path(
    format: str,  # noqa: A002
    path: Path,
) -> Path:
    path = path.resolve()
    fits = path.is_dir() if format == ImportFormat.FOLDER else path.exists()
    if not fits:
        wanted = "folder" if format == ImportFormat.FOLDER else "file or folder"
        raise Problem(
            "import_path_missing",
            f"There is no {wanted} {path}.",
            fields={"path": [f"no such {wanted}"]},
            status=400,
        )
    if len(str(path)) > 500:
        raise Problem(
            "import_path_too_long", "The path is too long.", fields={"path": ["too long"]}, status=400
        )
    return path


@transaction.atomic
def begin_import(*, corpus_name: str, format: str, path: Path, by: User | None) -> ImportRun:  # noqa: A002
    """Note a coming import of any path on this machine. Problem when the format is unknown or the path is not there."""
    if format not in ImportFormat.values:
        known = ", ".join(ImportFormat.values)
        raise Problem(
            "unknown_format",
            f"{format!r} is not one of {known}.",
            fields={"format": [f"one of {known}"]},
            status=400,
        )
    path = _checked_path(format, path)
    corpus = ensure_corpus(name=corpus_name, by=by)
    run = ImportRun.objects.create(corpus=corpus, format=format, path=str(path), created_by=by)
    record(
        actor=by,
        verb="import.started",
        subject=run,
        data={"corpus": corpus_name, "format": format, "path": str(path)},
    )
    return run


@transaction.atomic
def start_import(*, corpus_name: str, format: str, path: Path, by: User | None) -> tuple[ImportRun, Job]:  # noqa: A002
    """Queue an import of a folder below one of IMPORT_ROOTS. Problem when the path lies elsewhere or is not there."""
    roots = [Path(root).resolve() for root in settings.IMPORT_ROOTS]
    if not any(path.resolve().is_relative_to(root) for root in roots):
        where = ", ".join(str(root) for root in roots) or "nowhere: CRASHDESK_IMPORT_ROOTS is empty"
        raise Problem(
            "import_path_outside_roots", f"Imports are read from below {where}.",
            fields={"path": ["lies outside the import folders"]}, status=400,
        )  # fmt: skip
    run = begin_import(corpus_name=corpus_name, format=format, path=path, by=by)
    job = enqueue("import", {"import_run_id": run.pk}, by=by, group=f"import:{run.pk}")
    ImportRun.objects.filter(pk=run.pk).update(job_id=job.pk)
    run.job_id = job.pk
    return run, job


def process_media(media_id: int) -> Media:
    """Probe a clip, make what browsers need, and mark it ready or unusable; at once when that is done already.

    Decoding happens in a child process with a time and memory limit, so a hostile file is a finding, never a hang.
    Every video that shows the media gets its findings. OSError when the stored bytes cannot be read.
    """
    media = Media.objects.get(pk=media_id)
    if media.state != MediaState.PENDING:
        return media
    with TemporaryDirectory(prefix="crashdesk-media-") as folder, local_path(media.storage_name) as path:
        clip, found = _examine(media, path, Path(folder))
    return _settle(media, clip, found)


_threads = threading.local()


def _child() -> Isolated:
    """This thread's own decoding child, kept from clip to clip because starting one takes longer than a probe."""
    if not hasattr(_threads, "child"):
        _threads.child = Isolated(
            timeout_s=settings.MEDIA_TIMEOUT_SECONDS, memory_bytes=settings.MEDIA_MEMORY_MB * 1024 * 1024
        )
    child: Isolated = _threads.child
    return child


def _examine(media: Media, path: Path, folder: Path) -> tuple[Probe, list[Finding]]:
    """Fill `media` (unsaved) from the clip; returns the probe and all findings."""
    child = _child()
    clip = child.probe(path)
    found = list(clip.findings)
    if not clip.usable or clip.time_map is None:
        return clip, found
    try:
        if needs_proxy(clip):
            proxy = folder / "proxy.mp4"
            info = child.call(make_proxy, path, proxy, clip.time_map, declared_fps=clip.declared_fps)
            media.proxy_name = put(content_name("proxies", media.sha256, ".mp4"), proxy)
            _set_proxy_rate(media, info.fps, info.frame_count)
        else:  # the file itself is what a browser needs: it only gets the proxy's name
            media.proxy_name = put(content_name("proxies", media.sha256, ".mp4"), path)
            _set_proxy_rate(media, clip.fps, clip.frame_count)
        thumbnail = folder / "thumbnail.jpg"
        child.call(make_thumbnail, path, thumbnail, clip.time_map)
        media.thumbnail_name = put(content_name("thumbnails", media.sha256, ".jpg"), thumbnail)
    except MediaError as error:
        media.proxy_name = media.thumbnail_name = ""
        found.append(error.finding)
    return clip, found


def _set_proxy_rate(media: Media, fps: Fraction, frame_count: int) -> None:
    media.proxy_fps_num, media.proxy_fps_den = fps.numerator, fps.denominator
    media.proxy_frame_count = frame_count


@transaction.atomic
def _settle(examined: Media, clip: Probe, found: list[Finding]) -> Media:
    """Write the outcome once: a second worker on the same media finds it settled and leaves it."""
    media = Media.objects.select_for_update(no_key=True).get(pk=examined.pk)
    if media.state != MediaState.PENDING:
        return media
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
            for finding in found
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    record(
        actor=None,
        verb=f"media.{examined.state}",
        subject=examined,
        data={"findings": [f.code.value for f in found]},
    )
    return examined
