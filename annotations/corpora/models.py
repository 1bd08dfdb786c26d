"""Corpora, their videos, the stored media behind them, imports and findings. Times are integer microseconds."""

from fractions import Fraction

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.corpora.media.timemap import TimeMap


class Corpus(models.Model):
    """Clips from one origin, with licence and terms."""

    name = models.CharField(max_length=100, unique=True)
    licence = models.CharField(max_length=200, blank=True)
    terms = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "corpora"

    def __str__(self) -> str:
        return self.name


class MediaState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    PENDING = "pending"
    READY = "ready"
    UNUSABLE = "unusable"


class Media(models.Model):
    """The bytes of a clip, stored once however many corpora hold it, and what probing found in them."""

    sha256 = models.CharField(max_length=64, unique=True)
    size = models.PositiveBigIntegerField(help_text="bytes")
    storage_name = models.CharField(max_length=200)
    state = models.CharField(max_length=10, choices=MediaState, default=MediaState.PENDING)
    container = models.CharField(max_length=60, blank=True)
    codec = models.CharField(max_length=30, blank=True)
    width = models.PositiveIntegerField(null=True, help_text="pixels, after rotation")
    height = models.PositiveIntegerField(null=True, help_text="pixels, after rotation")
    rotation = models.SmallIntegerField(default=0, help_text="degrees")
    has_audio = models.BooleanField(default=False)
    variable_rate = models.BooleanField(default=False)
    fps_num = models.PositiveBigIntegerField(null=True, help_text="average frames per second, numerator")
    fps_den = models.PositiveBigIntegerField(null=True)
    frame_count = models.PositiveIntegerField(null=True)
    duration_us = models.PositiveBigIntegerField(null=True)
    start_us = models.BigIntegerField(null=True, help_text="presentation time of the first frame in the file")
    time_map = models.BinaryField(
        null=True, help_text="presentation time of every frame, see media/timemap.py"
    )
    proxy_name = models.CharField(max_length=200, blank=True, help_text="what browsers play")
    proxy_fps_num = models.PositiveBigIntegerField(null=True)
    proxy_fps_den = models.PositiveBigIntegerField(null=True)
    proxy_frame_count = models.PositiveIntegerField(null=True)
    thumbnail_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    probed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "media"
        constraints = [
            models.CheckConstraint(
                condition=~Q(state="ready")
                | Q(time_map__isnull=False, duration_us__isnull=False, proxy_fps_num__isnull=False)
                & ~Q(proxy_name=""),
                name="media_ready_has_time_map_and_proxy",
            )
        ]

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def times(self) -> TimeMap:
        """The time map. Raises ValueError while the media is not probed."""
        if self.time_map is None:
            raise ValueError(f"media {self.pk} has no time map: it is {self.state}")
        return TimeMap.decode(bytes(self.time_map))

    @property
    def proxy_fps(self) -> Fraction:
        """Frames per second of the proxy, exact. Raises ValueError while there is no proxy."""
        if self.proxy_fps_num is None or self.proxy_fps_den is None:
            raise ValueError(f"media {self.pk} has no proxy: it is {self.state}")
        return Fraction(self.proxy_fps_num, self.proxy_fps_den)


class Video(models.Model):
    """One clip in a corpus. Its media is absent while only its annotations have been imported."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="videos")
    name = models.CharField(max_length=300, help_text="path or file name in the corpus's own files")
    source = models.CharField(max_length=100, blank=True, help_text="e.g. MM-AU-CAP")
    recording = models.CharField(
        max_length=200, help_text="the footage it was cut from: must not straddle dataset splits"
    )
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, related_name="videos")
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["corpus", "name"], name="video_once_per_corpus")]
        indexes = [models.Index(fields=["corpus", "recording"]), models.Index(fields=["corpus", "source"])]

    def __str__(self) -> str:
        return self.name


class Severity(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class VideoFinding(models.Model):
    """Something named about a clip: damaged, variable frame rate, duplicate, a span of no length …"""

    video = models.ForeignKey(Video, on_delete=models.CASCADE, related_name="findings")
    code = models.CharField(max_length=60)
    subject = models.CharField(max_length=40, blank=True, help_text="the task kind it speaks of, if any")
    severity = models.CharField(max_length=10, choices=Severity)
    message = models.CharField(max_length=500)
    data = models.JSONField(default=dict)
    found_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["video", "code", "subject"], name="finding_once_per_video")
        ]

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ImportFormat(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    DEMO = "demo"
    CRASHCHAT = "crashchat"
    FOLDER = "folder"


class ImportRun(models.Model):
    """One reading of a folder of annotation files and media into a corpus, with its report."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="imports")
    format = models.CharField(max_length=20, choices=ImportFormat)
    path = models.CharField(max_length=500, help_text="folder on the server, below an import root")
    job_id = models.BigIntegerField(null=True)
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.format} import {self.pk} of {self.path}"


class ImportRejection(models.Model):
    """One row or file that was not taken, and why."""

    run = models.ForeignKey(ImportRun, on_delete=models.CASCADE, related_name="rejections")
    file = models.CharField(max_length=300)
    row = models.PositiveIntegerField(null=True, help_text="from 1; empty when the whole file is meant")
    field = models.CharField(max_length=60, blank=True)
    reason = models.CharField(max_length=500)

    class Meta:
        ordering = ["id"]
