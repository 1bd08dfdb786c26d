"""A first column mapping for a table, guessed from what its columns are called and what its first rows hold."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from annotations.corpora.importers.column_mapping import FRAMES, NO, REST, TEXT_KINDS, YES
from annotations.corpora.importers.places import CLIP_SUFFIXES

# What columns are usually called, best first, in lower case with "_" between words.
_USUAL: Final[dict[str, str]] = {
    "name": "name file_name filename file video_name video clip clip_name video_id clip_id vid id",
    "path": "path file_path filepath video_path clip_path local_path",
    "url": "url video_url clip_url link href uri s3_uri",
    "source": "source dataset origin corpus",
    "recording": "recording recording_id source_video source_id original_video youtube_id youtubeid parent_video "
    "group group_id",
    "split": "split subset partition fold",
    "crash_recognition": "crash_recognition crash is_crash has_crash accident is_accident has_accident collision "
    "label target class answer",
    "crash_description": "crash_description description caption texts text summary report",
    "causal_reasoning": "causal_reasoning cause causes reason why",
    "prevention_reasoning": "prevention_reasoning prevention measures measure advice how_to_prevent",
    "start": "crash_start start start_time crash_start_time accident_start event_start t_start begin from",
    "end": "crash_end end end_time crash_end_time accident_end event_end t_end stop to",
    "at": "onset pre_crash pre_crash_onset pre_crash_localization onset_time time_of_alert alert_time t_onset "
    "first_cue",
    "fps": "fps frame_rate framerate frames_per_second",
}
_UNIT_ENDINGS: Final = (
    (re.compile(r"_(?:us|microseconds?|usec)$"), "microseconds"),
    (re.compile(r"_(?:ms|milliseconds?|msec)$"), "milliseconds"),
    (re.compile(r"_(?:s|secs?|seconds?)$"), "seconds"),
    (re.compile(r"_frames?$|_frame_(?:no|number|idx|index)$|^frame_"), FRAMES),
)

Fits = Callable[[Sequence[str]], bool]


def suggest_mapping(columns: Sequence[str], sample_rows: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A mapping to start from. Never names a column twice.

    What cannot be guessed is left out, so check_mapping may still find it wanting (frames without a rate).
    """
    guess = _Guess(columns, sample_rows)
    mapping: dict[str, Any] = {}
    fitting: list[tuple[str, Fits | None]] = [("url", _are_addresses), ("path", None), ("name", None)]
    for field, fits in fitting:
        if column := guess.take(field, fits):
            mapping[field] = column
    if not mapping and (column := guess.clip_like()):
        mapping["name"] = column
    for field in ("source", "recording", "split"):
        if column := guess.take(field):
            mapping[field] = {"column": column}
    if column := guess.take("crash_recognition", _are_labels):
        mapping["crash_recognition"] = {"column": column, "yes": list(YES), "no": list(NO)}
    fps = guess.peek("fps")
    start, end = guess.peek("start"), guess.peek("end")
    if start and end:
        mapping["crash_localization"] = {"start": start[0], "end": end[0], **_written(start[1], fps)}
        guess.used |= {start[0], end[0]}
    if at := guess.peek("at"):
        mapping["pre_crash_localization"] = {"at": at[0], **_written(at[1], fps)}
        guess.used.add(at[0])
    for kind in TEXT_KINDS:
        if column := guess.take(kind):
            mapping[kind] = column
    return {**mapping, "metadata": REST}


def _written(unit: str, fps: tuple[str, str] | None) -> dict[str, Any]:
    return {"unit": unit, **({"fps": {"column": fps[0]}} if fps and unit == FRAMES else {})}


def _are_labels(cells: Sequence[str]) -> bool:
    return all(cell.lower() in (*YES, *NO) for cell in cells)


def _are_addresses(cells: Sequence[str]) -> bool:
    return all(cell.lower().startswith(("http://", "https://", "s3://")) for cell in cells)


class _Guess:
    """The columns that are still free, by their plain names."""

    def __init__(self, columns: Sequence[str], sample_rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = sample_rows
        self.plain = {column: re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") for column in columns}
        self.used: set[str] = set()

    def cells(self, column: str) -> list[str]:
        """What the sample says in a column."""
        texts = (row.get(column) for row in self.rows)
        return [str(text).strip() for text in texts if text is not None and str(text).strip()]

    def peek(self, field: str) -> tuple[str, str] | None:
        """The free column that is called like `field`, with the unit that its name tells."""
        for usual in _USUAL[field].split():
            for column, name in self.plain.items():
                unit, bare = "seconds", name
                for ending, of_ending in _UNIT_ENDINGS:
                    if ending.search(name):
                        unit, bare = of_ending, ending.sub("", name)
                        break
                if column not in self.used and usual in (name, bare):
                    return column, unit
        return None

    def take(self, field: str, fits: Fits | None = None) -> str:
        """The column that is called like `field`, used from now on; "" when there is none whose cells fit."""
        found = self.peek(field)
        if found is None or (fits is not None and not fits(self.cells(found[0]))):
            return ""
        self.used.add(found[0])
        return found[0]

    def clip_like(self) -> str:
        """The first column whose cells all end like clips."""
        for column in self.plain:
            cells = self.cells(column)
            if cells and all(f".{cell.rpartition('.')[2].lower()}" in CLIP_SUFFIXES for cell in cells):
                self.used.add(column)
                return column
        return ""
