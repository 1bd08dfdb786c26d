"""The list of a corpus's videos: filters, pages by keyset, and what each row says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.http import QueryDict

from annotations.cases.models import Case
from annotations.corpora.models import Corpus, DuplicateMember, Severity, Video, VideoFinding
from annotations.corpora.restricted import seen_by
from annotations.corpora.search import video_has_words
from annotations.corpora.serializers import storyboard_url
from crashdesk.accounts.models import User
from frontend.corpora import ABSENT, MEDIA_WORDS

ANY = "any"
"""The filter by finding that leaves every video with one."""
LACKING = ("source", "split")


@dataclass(frozen=True)
class VideoFilters:
    """What the list is narrowed to. Empty strings narrow nothing; `without` names a field that is empty."""

    state: str = ""
    source: str = ""
    split: str = ""
    finding: str = ""
    severity: str = ""
    recording: str = ""
    without: str = ""
    q: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "VideoFilters":
        """From the address. Unknown states, severities and fields are ignored."""

        def text(name: str, limit: int) -> str:
            return query.get(name, "").replace("\0", "").strip()[:limit]

        def one_of(name: str, known: Any) -> str:
            return text(name, 40) if text(name, 40) in known else ""

        return cls(
            state=one_of("state", MEDIA_WORDS),
            source=text("source", 100),
            split=text("split", 20),
            finding=text("finding", 60),
            severity=one_of("severity", Severity.values),
            recording=text("recording", 200),
            without=one_of("without", LACKING),
            q=text("q", 200),
        )

    def encoded(self) -> str:
        """As a query string without '?', e.g. 'state=unusable&q=truck'; '' when nothing is narrowed."""
        query = QueryDict(mutable=True)
        query.update({name: value for name, value in vars(self).items() if value})
        return query.urlencode()


def narrowed(corpus: Corpus, filters: VideoFilters, user: User) -> QuerySet[Video]:
    """The corpus's videos that the filters leave, by id."""
    videos = Video.objects.filter(corpus=corpus).order_by("id")
    if filters.state == ABSENT:
        videos = videos.filter(media__isnull=True)
    elif filters.state:
        videos = videos.filter(media__state=filters.state)
    for name in ("source", "split", "recording"):
        if value := getattr(filters, name):
            videos = videos.filter(**{name: value})
    if filters.without:
        videos = videos.filter(**{filters.without: ""})
    if filters.finding or filters.severity:
        found = seen_by(VideoFinding.objects.filter(video=OuterRef("pk")), user)
        if filters.finding not in ("", ANY):
            found = found.filter(code=filters.finding)
        if filters.severity:
            found = found.filter(severity=filters.severity)
        videos = videos.filter(Exists(found))
    if filters.q:
        videos = videos.filter(video_has_words(filters.q))
    return videos


@dataclass(frozen=True)
class VideoRow:
    """One line of the list. `board` tells a script how to show moments of the clip; None without a storyboard."""

    video: Video
    findings: list[VideoFinding]
    case: Case | None
    cluster: int | None
    board: Mapping[str, Any] | None


def shown(videos: QuerySet[Video]) -> QuerySet[Video]:
    """These videos with what a row shows of their media, without the time map, which may be megabytes."""
    return videos.select_related("media").defer("media__time_map", "metadata")


def rows(videos: list[Video], user: User) -> list[VideoRow]:
    """What the list says about these videos, in three more queries however many they are."""
    ids = [video.pk for video in videos]
    findings: dict[int, list[VideoFinding]] = {pk: [] for pk in ids}
    for finding in seen_by(VideoFinding.objects.filter(video__in=ids), user).defer("data"):
        findings[finding.video_id].append(finding)
    cases = {case.video_id: case for case in Case.objects.filter(video__in=ids).order_by("id")}
    clusters = dict(DuplicateMember.objects.filter(video__in=ids).values_list("video_id", "cluster_id"))
    return [
        VideoRow(
            video=video,
            findings=findings[video.pk],
            case=cases.get(video.pk),
            cluster=clusters.get(video.pk),
            board=board_of(video),
        )
        for video in videos
    ]


def board_of(video: Video) -> dict[str, Any] | None:
    """The storyboard of a video for a script: `url` of the sprite, how it is laid out, when its pictures are shown."""
    url = storyboard_url(video)
    if url is None or video.media is None or not video.media.storyboard:
        return None
    layout = video.media.storyboard
    return {
        "url": url,
        "columns": layout["columns"],
        "rows": layout["rows"],
        "width": layout["tile_width"],
        "height": layout["tile_height"],
        "times_us": layout["times_us"],
    }
