"""What the player and the timeline of a case page are given: frames of the proxy, and spans on them."""

from collections.abc import Mapping
from typing import TypedDict

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer
from annotations.corpora.media.timemap import ProxyMap
from annotations.corpora.models import Media, MediaState


class Rate(TypedDict):
    """Frames per second as an exact fraction."""

    num: int
    den: int


class Bar(TypedDict):
    """A span: times in microseconds of the source, frames of the proxy (end_frame may be the frame count)."""

    start_us: int
    end_us: int
    start_frame: int
    end_frame: int


class Mark(TypedDict):
    at_us: int
    frame: int


class TimelineRow(TypedDict):
    """One voice: tone is 'model', 'human' or 'approved'."""

    tone: str
    label: str
    span: Bar | None
    onset: Mark | None


class Timeline(TypedDict):
    """`fps` None: there is nothing to play. `frame_us`: source time of each proxy frame, frame count entries."""

    fps: Rate | None
    frames: int
    frame_us: list[int]
    duration_us: int
    rows: list[TimelineRow]


def proxy_map(media: Media | None) -> ProxyMap | None:
    """How the proxy's frames lie in the source, or None while there is no proxy."""
    if media is None or media.state != MediaState.READY or not media.proxy_frame_count:
        return None
    return ProxyMap(source=media.times, fps=media.proxy_fps, frame_count=media.proxy_frame_count)


def _row(tone: str, label: str, answers: Mapping[str, Answer], proxy: ProxyMap | None) -> TimelineRow:
    def frame(us: int) -> int:
        return proxy.proxy_frame(us) if proxy else 0

    def boundary(us: int) -> int:
        return proxy.proxy_boundary(us) if proxy else 0

    said, cue = answers.get(Kind.CRASH_LOCALIZATION), answers.get(Kind.PRE_CRASH_LOCALIZATION)
    span: Bar | None = None
    onset: Mark | None = None
    if said is not None and said.value is not None:
        start, end = said.value["start_us"], said.value["end_us"]
        span = {"start_us": start, "end_us": end, "start_frame": frame(start), "end_frame": boundary(end)}
    if cue is not None and cue.value is not None:
        onset = {"at_us": cue.value["at_us"], "frame": frame(cue.value["at_us"])}
    return {"tone": tone, "label": label, "span": span, "onset": onset}


def timeline(
    media: Media | None,
    *,
    drafts: Mapping[str, Answer],
    human: Mapping[str, Answer],
    approved: Mapping[str, Answer],
) -> Timeline:
    """The page data of a clip. Without media the scale ends at the latest time that any answer names."""
    proxy = proxy_map(media)
    rows = [
        _row("model", "Model", drafts, proxy),
        _row("human", "Human", human, proxy),
        _row("approved", "Approved", approved, proxy),
    ]
    if proxy is None:
        named = [row["span"]["end_us"] for row in rows if row["span"]]
        named += [row["onset"]["at_us"] for row in rows if row["onset"]]
        return {"fps": None, "frames": 0, "frame_us": [], "duration_us": max(named, default=0), "rows": rows}
    return {
        "fps": {"num": proxy.fps.numerator, "den": proxy.fps.denominator},
        "frames": proxy.frame_count,
        "frame_us": proxy.source.times_us[proxy.source_frames].tolist(),
        "duration_us": proxy.source.duration_us,
        "rows": rows,
    }
