"""The page of one video: its measures, how its frames lie in time, where it came from, and who shows the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from django.urls import reverse

from annotations.corpora.media.timemap import TimeMap
from annotations.corpora.models import DuplicateMember, Media, SourceRecord, Video
from crashdesk.accounts.models import User
from crashdesk.accounts.scope import narrow
from frontend.corpora import videos_url
from frontend.times import instant

WIDTH, HEIGHT, MARGIN = 320, 44, 3
SHOWN_CHARACTERS = 20_000
SHOWN_JUMPS = 20
SHOWN_OTHERS = 24
JUMP = Fraction(3, 2)
"""A frame that stays this many times as long as the usual one counts as a jump."""


@dataclass(frozen=True)
class Fact:
    """A line of the facts; `url` where it leads to rows, '' otherwise."""

    name: str
    value: str
    url: str = ""


@dataclass(frozen=True)
class Jump:
    """A frame that stays on screen unusually long, from `at_us` for `stays_us`."""

    frame: int
    at_us: int
    stays_us: int


@dataclass(frozen=True)
class TimeFacts:
    """How the frames lie in time, in microseconds. `points`: how long each stays, as an SVG polyline of
    WIDTH x HEIGHT user units, '' when all stay equally long (within 2 us, which is rounding)."""

    frames: int
    start_us: int
    duration_us: int
    shortest_us: int
    usual_us: int
    longest_us: int
    jumps: list[Jump]
    more_jumps: int
    points: str


@dataclass(frozen=True)
class RecordRow:
    """What an imported file says of the clip, as indented JSON; `cut` when only its beginning is shown."""

    record: SourceRecord
    text: str
    cut: bool
    url: str


@dataclass(frozen=True)
class Other:
    """Another video with the same footage: `exact` when its bytes are the same."""

    video: Video
    exact: bool
    likeness: str


def rate(num: int | None, den: int | None) -> str:
    """Frames per second for people, exact where it is not a whole number: '29.97 (30000/1001)'; '' when unknown."""
    if not num or not den:
        return ""
    fps = Fraction(num, den)
    if fps.denominator == 1:
        return str(fps.numerator)
    return f"{float(fps):.3f}".rstrip("0").rstrip(".") + f" ({fps.numerator}/{fps.denominator})"


def size(count: int) -> str:
    """Bytes for people, in powers of 1000: 1234567 -> '1.2 MB'."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"


def media_facts(media: Media) -> list[Fact]:
    """What probing found; unknown values are left out."""
    turned = f", turned by {media.rotation}°" if media.rotation else ""
    fps = rate(media.fps_num, media.fps_den)
    if fps and media.variable_rate:
        fps += " on average, variable"
    facts = [
        ("Duration", instant(media.duration_us) if media.duration_us is not None else ""),
        ("Picture", f"{media.width} × {media.height} pixels{turned}" if media.width else ""),  # noqa: RUF001
        ("Frames per second", fps),
        ("Frames", f"{media.frame_count:,}" if media.frame_count else ""),
        ("Codec", media.codec),
        ("Container", media.container),
        ("Sound", ("yes" if media.has_audio else "none") if media.probed_at and media.codec else ""),
        ("Size", size(media.size)),
        ("Proxy", _proxy(media)),
        ("SHA-256", media.sha256),
    ]
    return [Fact(name, value) for name, value in facts if value]


def _proxy(media: Media) -> str:
    if not media.proxy_name:
        return ""
    fps = rate(media.proxy_fps_num, media.proxy_fps_den)
    return f"{media.proxy_frame_count:,} frames at {fps}" if media.proxy_frame_count else fps


def video_facts(video: Video) -> list[Fact]:
    """What its origin says of a video."""
    corpus = video.corpus_id
    facts = [
        Fact("Source", video.source, videos_url(corpus, source=video.source)),
        Fact("Split", video.split, videos_url(corpus, split=video.split)),
        Fact("Recording", video.recording, videos_url(corpus, recording=video.recording)),
        Fact("Recording told by", video.get_recording_origin_display() if video.recording else ""),
        Fact("Imported", f"{video.created_at:%-d %b %Y, %H:%M}"),
    ]
    return [fact for fact in facts if fact.value]


def time_facts(times: TimeMap) -> TimeFacts:
    """A summary of a time map."""
    stays = np.diff(np.append(times.times_us, times.duration_us))
    usual = int(np.median(stays))
    long = np.flatnonzero(stays * JUMP.denominator >= usual * JUMP.numerator)
    jumps = [Jump(int(k), times.time_of(int(k)), int(stays[k])) for k in long[:SHOWN_JUMPS]]
    shortest, longest = int(stays.min()), int(stays.max())
    return TimeFacts(
        frames=len(times), start_us=times.start_us, duration_us=times.duration_us, shortest_us=shortest,
        usual_us=usual, longest_us=longest, jumps=jumps, more_jumps=len(long) - len(jumps),
        points=_line(stays) if longest - shortest > 2 else "",
    )  # fmt: skip


def _line(stays: "np.ndarray[Any, Any]") -> str:
    """The longest stay in each of up to WIDTH / 2 stretches of the clip, over the clip; y grows downwards."""
    stretches = np.array_split(stays, min(len(stays), WIDTH // 2))
    tallest = max(int(stretch.max()) for stretch in stretches)
    wide = max(1, len(stretches) - 1)
    return " ".join(
        f"{MARGIN + number / wide * (WIDTH - 2 * MARGIN):.1f},"
        f"{HEIGHT - MARGIN - int(stretch.max()) / tallest * (HEIGHT - 2 * MARGIN):.1f}"
        for number, stretch in enumerate(stretches)
    )


def pretty_json(value: Any, *, indent: str = "") -> str:
    """JSON with a line per entry, but lists of plain values (labels of frames …) on one line."""
    inner = f"{indent}  "
    if isinstance(value, dict) and value:
        entries = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {pretty_json(item, indent=inner)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(entries) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        entries = [f"{inner}{pretty_json(item, indent=inner)}" for item in value]
        return "[\n" + ",\n".join(entries) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def record_rows(video: Video) -> list[RecordRow]:
    """The rows of imported files about a video, as they stood."""
    found = []
    for record in video.source_records.all():
        text = pretty_json(record.record)
        url = reverse("source-record", args=[video.pk, record.pk])
        found.append(RecordRow(record, text[:SHOWN_CHARACTERS], len(text) > SHOWN_CHARACTERS, url))
    return found


def others(video: Video, user: User) -> list[Other]:
    """Videos of any corpus with the same bytes, then those in its cluster of near duplicates; the first of each, of
    those that the person may see."""
    same = (
        Video.objects.none()
        if video.media_id is None
        else Video.objects.filter(media=video.media_id).exclude(pk=video.pk).order_by("id")
    )
    same = narrow(same, user).select_related("corpus")
    exact = [Other(found, True, "the same bytes") for found in same[:SHOWN_OTHERS]]
    known = {other.video.pk for other in exact}
    mine = DuplicateMember.objects.filter(video=video).first()
    if mine is None:
        return exact
    members = narrow(
        DuplicateMember.objects.filter(cluster=mine.cluster_id).exclude(video=video).select_related("video__corpus"),
        user, "video__corpus",
    )  # fmt: skip
    near = [
        Other(member.video, False, likeness(member.evidence))
        for member in members[:SHOWN_OTHERS]
        if member.video_id not in known
    ]
    return exact + near


def likeness(evidence: Mapping[str, Any]) -> str:
    """What speaks for a member of a cluster, in words: '93 % alike'; '' when no search said anything."""
    value = evidence.get("similarity")
    return f"{float(value) * 100:.0f} % alike" if isinstance(value, int | float) else ""
