"""Answers to Label Studio regions and back, exactly.

Label Studio counts the proxy's frames from 1 and both ends of a range belong to it; frame N comes on screen at
(N - 1) / fps. CrashDesk counts microseconds of the source clip. A ProxyMap (annotations.corpora.media.timemap)
leads from one to the other. The representation, decided here and nowhere else:

- Crash span [start_us, end_us) is the range "Crash". Its first frame is the one that shows the source frame on
  screen at start_us; its last frame is the one before the frame that shows end_us, so that the range has as many
  frames as the span lasts. A span shorter than a frame is shown as one frame.
- The onset at_us is the *first frame* of the range "Pre-crash", which is drawn up to the frame before the crash
  (one frame long where there is no room). Its last frame carries no meaning and is not read back.
- "No" hides the three texts; a text that is missing under "No" is the fixed negative sentence of its kind.
- A range that is missing is the answer "absent".

Reading back, every edge is compared by frame with the frame its draft was shown at: an edge on the same frame
keeps the draft's exact microseconds, a moved edge takes the source time of the frame it was moved to. A draft
edge that could not be drawn where it lies (beyond the clip, or before the span's own start) is never kept: the
reviewer saw, and confirmed, the frame that was drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annotations.cases.kinds import NEGATIVE_TEXT, TEXT_KINDS, AnswerState, Kind
from annotations.cases.rules import Said
from annotations.corpora.media.timemap import ProxyMap
from annotations.labelstudio import config


@dataclass(frozen=True)
class Draft:
    """What a reviewer starts from for one kind; `confidence` is 0 to 1, or None where no model spoke."""

    said: Said
    confidence: float | None = None


@dataclass(frozen=True)
class Unread:
    """A part of an annotation that is no answer: a stable code, the kind it concerns ("" for none), a sentence."""

    code: str
    kind: str
    message: str


@dataclass
class Reading:
    """What an annotation says, by kind, and the parts that could not be read. A kind with such a part is left out.

    `regions`: by kind, the ids of the regions that speak of it, readable or not.
    """

    said: dict[str, Said] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)
    regions: dict[str, list[str]] = field(default_factory=dict)


def span_frames(start_us: int, end_us: int, frames: ProxyMap) -> tuple[int, int]:
    """First and last frame (from 1, both inside) that show a span; at least one frame, never beyond the clip."""
    first = frames.proxy_frame(start_us) + 1
    return first, max(first, frames.proxy_boundary(end_us))


def onset_frame(at_us: int, frames: ProxyMap) -> int:
    """The frame (from 1) that shows an onset."""
    return frames.proxy_frame(at_us) + 1


def to_regions(drafts: Mapping[str, Draft], frames: ProxyMap) -> list[dict[str, Any]]:
    """Draft answers as the `result` of a Label Studio prediction. Drafts without a value give no region."""
    regions: list[dict[str, Any]] = []
    crash_first = 0
    span = drafts.get(Kind.CRASH_LOCALIZATION)
    if span is not None and span.said.value is not None:
        value = span.said.value
        crash_first, last = span_frames(value["start_us"], value["end_us"], frames)
        regions.append(_range(Kind.CRASH_LOCALIZATION, config.CRASH_LABEL, crash_first, last, span))
    onset = drafts.get(Kind.PRE_CRASH_LOCALIZATION)
    if onset is not None and onset.said.value is not None:
        first = onset_frame(onset.said.value["at_us"], frames)
        last = max(first, crash_first - 1)
        regions.insert(0, _range(Kind.PRE_CRASH_LOCALIZATION, config.PRE_CRASH_LABEL, first, last, onset))
    recognition = drafts.get(Kind.CRASH_RECOGNITION)
    if recognition is not None and recognition.said.value is not None:
        choice = config.YES if recognition.said.value["label"] == "yes" else config.NO
        value = {"choices": [choice]}
        regions.append(_region(Kind.CRASH_RECOGNITION, config.RECOGNITION, "choices", value, recognition))
    for name, kind in config.TEXT_FIELDS.items():
        draft = drafts.get(kind)
        if draft is not None and draft.said.value is not None:
            regions.append(_region(kind, name, "textarea", {"text": [draft.said.value["text"]]}, draft))
    return regions


def _range(kind: str, label: str, first: int, last: int, draft: Draft) -> dict[str, Any]:
    value = {"ranges": [{"start": first, "end": last}], "timelinelabels": [label]}
    return _region(kind, config.SEGMENTS, "timelinelabels", value, draft)


def _region(kind: str, name: str, shape: str, value: dict[str, Any], draft: Draft) -> dict[str, Any]:
    region: dict[str, Any] = {"id": str(kind), "from_name": name, "to_name": config.VIDEO, "type": shape}
    region["value"] = value
    if draft.confidence is not None:
        region["score"] = round(draft.confidence, 4)
    return region


def from_regions(result: object, *, drafts: Mapping[str, Said], frames: ProxyMap) -> Reading:
    """What an annotation's `result` says. `drafts` are the answers the reviewer was shown. Never raises on garbage."""
    reading = Reading()
    by_field = _sorted_by_field(result, reading)
    label = _recognition(by_field, reading)
    for name, kind in config.TEXT_FIELDS.items():
        _text(name, kind, by_field, label, reading)
    _span(by_field, drafts.get(Kind.CRASH_LOCALIZATION), frames, reading)
    _onset(by_field, drafts.get(Kind.PRE_CRASH_LOCALIZATION), frames, reading)
    return reading


Regions = dict[str, list[dict[str, Any]]]


def _sorted_by_field(result: object, reading: Reading) -> Regions:
    """Region values by field of the form; ranges under their label's kind."""
    found: Regions = {}
    if not isinstance(result, list):
        reading.unread.append(Unread("annotation_unreadable", "", "the annotation holds no list of regions"))
        return found
    for position, region in enumerate(result, start=1):
        value = region.get("value") if isinstance(region, dict) else None
        name = region.get("from_name") if isinstance(region, dict) else None
        if not isinstance(value, dict) or not isinstance(name, str):
            reading.unread.append(
                Unread("region_unreadable", "", f"region {position} has no field or no value")
            )
        elif name == config.SEGMENTS:
            kind = _file_range(value, position, found, reading)
            if kind is not None:
                reading.regions.setdefault(kind, []).append(str(region.get("id")))
        elif name == config.RECOGNITION or name in config.TEXT_FIELDS:
            found.setdefault(name, []).append(value)
            kind = config.TEXT_FIELDS.get(name, Kind.CRASH_RECOGNITION)
            reading.regions.setdefault(kind, []).append(str(region.get("id")))
        else:
            message = f"region {position} belongs to the unknown field {name[:60]!r}"
            reading.unread.append(Unread("region_unknown", "", message))
    return found


def _file_range(value: dict[str, Any], position: int, found: Regions, reading: Reading) -> str | None:
    """Returns the kind that the range's label stands for."""
    labels = value.get("timelinelabels")
    kind = {
        config.CRASH_LABEL: Kind.CRASH_LOCALIZATION,
        config.PRE_CRASH_LABEL: Kind.PRE_CRASH_LOCALIZATION,
    }.get(labels[0] if isinstance(labels, list) and len(labels) == 1 and isinstance(labels[0], str) else "")
    if kind is None:
        message = f"region {position} on the timeline is labelled {str(labels)[:60]}"
        reading.unread.append(Unread("range_label_unknown", "", message))
        return None
    found.setdefault(kind, []).append(value)
    return kind


def _recognition(by_field: Regions, reading: Reading) -> str | None:
    choices = [
        choice for value in by_field.get(config.RECOGNITION, []) for choice in _as_list(value.get("choices"))
    ]
    if choices in ([config.YES], [config.NO]):
        label = "yes" if choices == [config.YES] else "no"
        reading.said[Kind.CRASH_RECOGNITION] = Said(AnswerState.VALUED, {"label": label})
        return label
    if choices:
        message = f"crash or not is answered with {str(choices)[:60]}"
        reading.unread.append(Unread("choice_unreadable", Kind.CRASH_RECOGNITION, message))
    return None


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(name: str, kind: str, by_field: Regions, label: str | None, reading: Reading) -> None:
    parts = [part for value in by_field.get(name, []) for part in _as_list(value.get("text"))]
    if not all(isinstance(part, str) and _storable(part) for part in parts):
        reading.unread.append(
            Unread("text_unreadable", kind, f"{kind}: the text holds something that is no text")
        )
        return
    text = "\n".join(part.strip() for part in parts).strip()
    if text:
        reading.said[kind] = Said(AnswerState.VALUED, {"text": text})
    elif label == "no":
        reading.said[kind] = Said(AnswerState.VALUED, {"text": NEGATIVE_TEXT[kind]})


def _storable(text: str) -> bool:
    """PostgreSQL keeps neither NUL nor half a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _one_range(kind: str, by_field: Regions, frames: ProxyMap, reading: Reading) -> tuple[int, int] | None:
    """First and last frame of the kind's one range. Writes "absent" or what is unreadable, and gives None."""
    values = by_field.get(kind, [])
    if not values:
        reading.said[kind] = Said(AnswerState.ABSENT, None)
        return None
    if len(values) > 1:
        reading.unread.append(
            Unread("several_ranges", kind, f"{kind}: {len(values)} ranges where one is asked for")
        )
        return None
    ranges = values[0].get("ranges")
    only = ranges[0] if isinstance(ranges, list) and len(ranges) == 1 else None
    first = _frame(only.get("start")) if isinstance(only, dict) else None
    last = _frame(only.get("end")) if isinstance(only, dict) else None
    if first is None or last is None:
        reading.unread.append(Unread("range_unreadable", kind, f"{kind}: the range is {str(ranges)[:80]}"))
        return None
    # Label Studio computes the number of frames from the file's duration, which can round up by one.
    end = frames.frame_count
    first, last = (end if frame == end + 1 else frame for frame in (first, last))
    if not 1 <= first <= last <= end:
        message = f"{kind}: frames {first} to {last} of a clip with frames 1 to {end}"
        reading.unread.append(Unread("range_outside", kind, message))
        return None
    return first, last


def _frame(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 and abs(value) < 2**31 else None


def _span(by_field: Regions, draft: Said | None, frames: ProxyMap, reading: Reading) -> None:
    found = _one_range(Kind.CRASH_LOCALIZATION, by_field, frames, reading)
    if found is None:
        return
    first, last = found
    start_us, end_us = frames.source_us(first - 1), frames.source_us(last)
    shown = draft.value if draft is not None else None
    if shown is not None:
        duration_us = frames.source.duration_us
        shown_first, shown_last = span_frames(shown["start_us"], shown["end_us"], frames)
        if first == shown_first and shown["start_us"] <= duration_us:
            start_us = shown["start_us"]
        if last == shown_last and shown["start_us"] <= shown["end_us"] <= duration_us:
            end_us = shown["end_us"]
    # Inside one long source frame a moved end can fall before a start that the draft put between frames.
    value = {"start_us": start_us, "end_us": max(start_us, end_us)}
    reading.said[Kind.CRASH_LOCALIZATION] = _unless_kept(value, draft)


def _onset(by_field: Regions, draft: Said | None, frames: ProxyMap, reading: Reading) -> None:
    found = _one_range(Kind.PRE_CRASH_LOCALIZATION, by_field, frames, reading)
    if found is None:
        return
    at_us = frames.source_us(found[0] - 1)
    shown = draft.value if draft is not None else None
    if shown is not None and shown["at_us"] <= frames.source.duration_us:
        at_us = shown["at_us"] if found[0] == onset_frame(shown["at_us"], frames) else at_us
    reading.said[Kind.PRE_CRASH_LOCALIZATION] = _unless_kept({"at_us": at_us}, draft)


def _unless_kept(value: dict[str, Any], draft: Said | None) -> Said:
    """The draft itself where its value came back unchanged (its state with it), else a new value."""
    return draft if draft is not None and draft.value == value else Said(AnswerState.VALUED, value)


assert set(config.TEXT_FIELDS.values()) == set(TEXT_KINDS)
