"""The boxes of one CADP clip, from a VATIC text file or a key-frame JSON file: what they tell, and the rows kept.

Source of the columns: read_vatic in analysis/annotations.py of ankitshah009/CarCrash_forecasting_and_detection.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, BinaryIO, Final

from annotations.corpora.importers import annotation_files
from annotations.corpora.importers.frames import Facts, whole, whole_text
from annotations.corpora.importers.json_stream import items
from annotations.corpora.importers.rows import BadField, Rejection, checked_text, kept_record

COLLIDING: Final = "colliding"
MAX_KEPT_BYTES: Final = 64 * 1024 * 1024
"""Rows of one clip that are kept as its original record; the rest of a longer file is not read."""
MAX_SHOWN: Final = 20

_VATIC = re.compile(
    r"(\d+) +(-?\d{1,7}) +(-?\d{1,7}) +(-?\d{1,7}) +(-?\d{1,7}) +(\d+) +([01]) +([01]) +([01]) +"
    r'"([^"]{1,60})"((?: +"[^"]{0,60}")*)',
    re.ASCII,
)
_QUOTED = re.compile(r'"([^"]*)"')


@dataclass
class Boxes:
    """What a clip's boxes tell. `colliding`: the first frame with such a box, and the first after the last one."""

    layout: str
    rows: int = 0
    last_frame: int = -1
    labels: dict[str, str] = field(default_factory=dict)
    """By track."""
    colliding: tuple[int, int] | None = None
    colliding_tracks: set[str] = field(default_factory=set)
    contradictions: list[tuple[str, str]] = field(default_factory=list)
    """(field, message)."""
    record: Any = None

    def collide(self, track: str, start: int, end: int) -> None:
        """Note that a track's boxes collide from one frame to before another."""
        first, last = self.colliding or (start, end)
        self.colliding = (min(first, start), max(last, end))
        self.colliding_tracks.add(track)

    def label(self, track: str, label: str) -> None:
        """Note a track's label; a contradiction when it had another."""
        known = self.labels.setdefault(track, label)
        if known != label:
            self.contradict("label", f"track {track} is labelled {known!r} and {label!r}")

    def contradict(self, field_name: str, message: str) -> None:
        """Note a contradiction, once."""
        if (field_name, message) not in self.contradictions and len(self.contradictions) < MAX_SHOWN:
            self.contradictions.append((field_name, message))

    def metadata(self, fps: Fraction | None) -> dict[str, Any]:
        """The summary that goes to the video's metadata. VATIC has a row for every frame, key frames do not."""
        facts = Facts(frames=self.last_frame + 1 if self.layout == "vatic" else None, fps=fps)
        for field_name, message in self.contradictions:
            facts.expect(False, [field_name], message)
        if self.colliding is not None:
            facts.span(*self.colliding, fields=("Colliding", "Colliding"), frames_field="frame")
        summary: dict[str, Any] = {
            "rows": self.rows,
            "tracks": len(self.labels),
            "tracks_by_label": dict(sorted(Counter(self.labels.values()).items())),
            "last_frame": self.last_frame,
        }
        if self.colliding is not None:
            tracks = sorted(self.colliding_tracks)
            summary["colliding"] = {"frames": list(self.colliding), "tracks": tracks[:MAX_SHOWN]}
        return {f"boxes_{self.layout}": summary, **facts.metadata()}


def read_vatic(stream: BinaryIO, *, file: str) -> Iterator[Rejection | Boxes]:
    """The bad rows of a VATIC file, then what the good ones tell.

    A row is `track xmin ymin xmax ymax frame lost occluded generated "label" "attribute" …` (pixels, frames from 0).
    """
    boxes = Boxes("vatic")
    seen: set[tuple[int, int]] = set()
    kept: list[str] = []
    kept_bytes = 0

    def read_line(text: str, _: int) -> str:
        match = _VATIC.fullmatch(text)
        if not match:
            raise BadField("", _why_not_vatic(text))
        track, frame = whole_text(match[1], "track"), whole_text(match[6], "frame")
        if (track, frame) in seen:
            raise BadField("frame", f"track {track} has a box in frame {frame} already")
        label = checked_text(match[10], "label", limit=None)
        seen.add((track, frame))
        boxes.label(str(track), label)
        if int(match[4]) < int(match[2]) or int(match[5]) < int(match[3]):
            boxes.contradict("xmax", f"track {track} has a box in frame {frame} that ends before it starts")
        boxes.rows += 1
        boxes.last_frame = max(boxes.last_frame, frame)
        if any(attribute.lower() == COLLIDING for attribute in _QUOTED.findall(match[11])):
            boxes.collide(str(track), frame, frame + 1)
        return text

    for found in annotation_files.text_rows(stream, file=file, read=read_line):
        if isinstance(found, Rejection):
            yield found
            continue
        kept_bytes += len(found) + 1
        if kept_bytes > MAX_KEPT_BYTES:
            yield Rejection(
                file, None, "", f"has more than {MAX_KEPT_BYTES >> 20} MiB of rows: too many for a clip"
            )
            return
        kept.append(found)
    boxes.record = {"rows": kept}
    yield boxes


def _why_not_vatic(text: str) -> str:
    fields = len(text.split())
    shape = 'track xmin ymin xmax ymax frame lost occluded generated "label"'
    return f"is not of the form {shape}" + (f": it has {fields} fields" if fields < 10 else "")


def read_key_frames(stream: BinaryIO, *, file: str) -> Iterator[Rejection | Boxes]:
    """The bad objects of a key-frame file, then what the good ones tell.

    An object is {"id", "type", "keyframes": [{"frame", "x", "y", "w", "h", "state"}]}; a state holds from its key
    frame to the next one, that of the last key frame for that frame alone.
    """
    boxes = Boxes("keyframes")
    kept: list[Any] = []
    for found in items(stream, file=file):
        if isinstance(found, Rejection):
            yield found
            continue
        row, value = found
        try:
            if isinstance(value, BadField):
                raise value
            record = kept_record(value)
            _take_object(value, boxes)
        except BadField as problem:
            yield Rejection(file, row, problem.field, problem.reason)
            continue
        boxes.rows += 1
        kept.append(record)
    boxes.record = {"objects": kept}
    yield boxes


def _take_object(value: Any, boxes: Boxes) -> None:
    if not isinstance(value, dict):
        raise BadField("", f"the object is no object but {type(value).__name__}")
    track, label = _word(value, "id"), _word(value, "type")
    if track in boxes.labels:
        raise BadField("id", f"{track} is named by an earlier object already")
    frames = value.get("keyframes")
    if not isinstance(frames, list) or not frames:
        raise BadField("keyframes", "must be a list that is not empty")
    states = [_key_frame(item, index) for index, item in enumerate(frames)]
    boxes.label(track, label)
    boxes.last_frame = max(boxes.last_frame, *(frame for frame, _ in states))
    for (frame, state), (following, _) in zip(states, [*states[1:], (states[-1][0] + 1, "")], strict=True):
        if following <= frame:
            boxes.contradict("keyframes", f"object {track} has key frame {following} after key frame {frame}")
        if state.lower() == COLLIDING:
            boxes.collide(track, frame, max(following, frame + 1))


def _key_frame(item: Any, index: int) -> tuple[int, str]:
    if not isinstance(item, dict):
        raise BadField("keyframes", f"key frame {index} is no object")
    for name in ("x", "y", "w", "h"):
        if isinstance(item.get(name), bool) or not isinstance(item.get(name), int | float):
            raise BadField(f"keyframes.{name}", f"must be a number in key frame {index}")
    state = item.get("state", "")
    if not isinstance(state, str):
        raise BadField("keyframes.state", f"must be text in key frame {index}")
    return whole(item.get("frame"), "keyframes.frame"), state


def _word(value: dict[str, Any], name: str) -> str:
    word = value.get(name)
    if not isinstance(word, str) or not word:
        raise BadField(name, "is missing" if word is None else "must be text that is not empty")
    return checked_text(word, name, limit=60)
