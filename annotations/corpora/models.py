"""Corpora, their videos, the stored media behind them, imports and findings. Times are integer microseconds."""

import uuid
from fractions import Fraction

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotations.corpora.media.timemap import TimeMap
from annotations.corpora.search import words_index


class Access(models.TextChoices):
    """Who may enter a corpus. Stored in the database: never rename one without a migration."""

    EVERYONE = "everyone", "everyone who signs in, each with their own role"
    MEMBERS = "members", "members only, each with the role they have here"


class Corpus(models.Model):
    """Clips from one origin, with licence and terms."""

    name = models.CharField(max_length=100, unique=True)
    licence = models.CharField(max_length=200, blank=True)
    terms = models.TextField(blank=True)
    column_mapping = models.JSONField(
        default=dict, help_text="how the columns of its tables are read, kept from import to import"
    )
    access = models.CharField(
        max_length=10, choices=Access, default=Access.EVERYONE, db_default=Access.EVERYONE
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "corpora"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(access__in=[a.value for a in Access]), name="corpus_access_known"
            )
        ]

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
    storyboard_name = models.CharField(max_length=200, blank=True, help_text="sprite of small pictures")
    storyboard = models.JSONField(
        default=dict, help_text="columns, rows, tile_width, tile_height and times_us of the sprite's pictures"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    probed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "media"
        indexes = [models.Index(fields=["state", "id"], name="media_by_state")]
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


class RecordingOrigin(models.TextChoices):
    """What a video's recording was told by. Stored in the database: never rename one without a migration."""

    FORMAT = "format", "an id of the imported format"
    NAME = "name", "the clip's own name: nothing better is known"
    CLUSTER = "cluster", "its cluster of near duplicates"
    PERSON = "person", "a person"


class Video(models.Model):
    """One clip in a corpus. Its media is absent while only its annotations have been imported."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="videos")
    name = models.CharField(max_length=300, help_text="path or file name in the corpus's own files")
    source = models.CharField(max_length=100, blank=True, help_text="e.g. MM-AU-CAP")
    recording = models.CharField(
        max_length=200, help_text="the footage it was cut from: must not straddle dataset splits"
    )
    recording_origin = models.CharField(
        max_length=10, choices=RecordingOrigin, default=RecordingOrigin.FORMAT
    )
    split = models.CharField(max_length=20, blank=True, help_text="the split its origin publishes it in")
    url = models.CharField(max_length=2000, blank=True, help_text="where its origin says the clip is")
    media = models.ForeignKey(Media, on_delete=models.PROTECT, null=True, related_name="videos")
    metadata = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["corpus", "name"], name="video_once_per_corpus")]
        indexes = [
            models.Index(fields=["corpus", "recording"]),
            models.Index(fields=["corpus", "source"]),
            models.Index(fields=["source", "id"], name="video_by_source"),
            models.Index(fields=["recording", "id"], name="video_by_recording"),
            words_index("name", "recording", name="video_words"),
        ]

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
        indexes = [models.Index(fields=["code", "video"], name="finding_by_code")]

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ImportFormat(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    DEMO = "demo"
    CRASHCHAT = "crashchat"
    FOLDER = "folder"
    CCD = "ccd"
    DOTA = "dota"
    A3D = "a3d"
    CADP = "cadp"
    SCAD = "scad"
    MMAU = "mmau"
    NEXAR = "nexar"
    TABLE = "table"
    LABELSTUDIO = "labelstudio"
    BUCKET = "bucket"


class ImportRun(models.Model):
    """One reading of a folder of annotation files and media into a corpus, with its report."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="imports")
    format = models.CharField(max_length=20, choices=ImportFormat)
    path = models.CharField(max_length=500, help_text="folder on the server, below an import root")
    options = models.JSONField(
        default=dict, help_text="what its format needs to be told, e.g. a column mapping"
    )
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


class SourceRecord(models.Model):
    """What an imported file literally says of a clip, kept as it was; a newer import of the file replaces it."""

    video = models.ForeignKey(Video, on_delete=models.CASCADE, related_name="source_records")
    format = models.CharField(max_length=20, choices=ImportFormat)
    file = models.CharField(max_length=300)
    row = models.PositiveIntegerField(null=True, help_text="from 1")
    record = models.JSONField()
    read_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["video", "format", "file"], name="source_record_once_per_file")
        ]

    def __str__(self) -> str:
        return f"{self.file} on {self.video_id}"


class UploadState(models.TextChoices):
    """Stored in the database: never rename one without a migration."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"


class Upload(models.Model):
    """A clip on its way from a browser or a script, in pieces that may come in many requests."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="uploads")
    name = models.CharField(max_length=300, help_text="what the video will be called")
    metadata = models.JSONField(default=dict)
    size = models.PositiveBigIntegerField(help_text="bytes")
    offset = models.PositiveBigIntegerField(default=0, help_text="bytes that have arrived safely")
    state = models.CharField(max_length=10, choices=UploadState, default=UploadState.OPEN)
    problem = models.CharField(max_length=500, blank=True, help_text="why it was refused")
    bucket_upload_id = models.CharField(
        max_length=1000, blank=True, help_text="of the multipart upload, where storage is a bucket"
    )
    video = models.ForeignKey(Video, on_delete=models.SET_NULL, null=True, related_name="uploads")
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)
    expires_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(offset__lte=models.F("size")), name="upload_offset_within_size"
            ),
            models.CheckConstraint(
                condition=Q(state="open", finished_at__isnull=True)
                | ~Q(state="open") & Q(finished_at__isnull=False),
                name="upload_finished_when_not_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.offset} of {self.size} bytes"


class BucketSource(models.Model):
    """A bucket, or a folder in one, whose clips a corpus follows."""

    corpus = models.ForeignKey(Corpus, on_delete=models.PROTECT, related_name="buckets")
    url = models.CharField(
        max_length=500, help_text="s3://bucket/prefix, with ?endpoint= where it is not AWS"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True)
    synced_at = models.DateTimeField(null=True, help_text="end of the last sync that went through")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["corpus", "url"], name="bucket_once_per_corpus")]

    def __str__(self) -> str:
        return self.url


class BucketObject(models.Model):
    """One object of a bucket as a sync last read it: unchanged ones are not read again."""

    source = models.ForeignKey(BucketSource, on_delete=models.CASCADE, related_name="objects_seen")
    key = models.CharField(max_length=1024)
    etag = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField(help_text="bytes")
    modified_at = models.DateTimeField(null=True)
    video = models.ForeignKey(Video, on_delete=models.SET_NULL, null=True, related_name="bucket_objects")
    read_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="bucket_object_once")]

    def __str__(self) -> str:
        return self.key


class Fingerprint(models.Model):
    """What a media's pictures look like, in a form that survives re-encoding, scaling and trimming."""

    media = models.OneToOneField(Media, on_delete=models.CASCADE, related_name="fingerprint")
    method = models.CharField(
        max_length=40, help_text="algorithm and its version: only like is compared to like"
    )
    data = models.BinaryField()
    made_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.method} of media {self.media_id}"


class DuplicateCluster(models.Model):
    """Videos, in any corpus, that show the same footage."""

    note = models.CharField(max_length=500, blank=True)
    confirmed_at = models.DateTimeField(null=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="confirmed_clusters"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(confirmed_at__isnull=True, confirmed_by__isnull=True)
                | Q(confirmed_at__isnull=False, confirmed_by__isnull=False),
                name="cluster_confirmed_by_and_at",
            )
        ]

    def __str__(self) -> str:
        return f"cluster {self.pk}"


class DuplicateMember(models.Model):
    """A video's place in a cluster, with what speaks for it."""

    cluster = models.ForeignKey(DuplicateCluster, on_delete=models.CASCADE, related_name="members")
    video = models.OneToOneField(Video, on_delete=models.CASCADE, related_name="duplicate_member")
    evidence = models.JSONField(default=dict, help_text="the nearest member and how alike they are")
    added_at = models.DateTimeField(auto_now_add=True)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, help_text="empty: found by fingerprint"
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"video {self.video_id} in cluster {self.cluster_id}"


class DuplicateVerdict(models.Model):
    """A person's word on two videos, which later searches obey."""

    corpus_path = ""  # for the audit log: the two may be of different corpora

    first = models.ForeignKey(Video, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Video, on_delete=models.CASCADE, related_name="+")
    same = models.BooleanField()
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(auto_now=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="verdict_once_per_pair"),
            models.CheckConstraint(condition=Q(first__lt=models.F("second")), name="verdict_in_order"),
        ]

    def __str__(self) -> str:
        return f"videos {self.first_id} and {self.second_id}: {'same' if self.same else 'different'}"
