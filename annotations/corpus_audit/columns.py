"""A corpus as columns: what every check of the audit reads. One small array per fact, no Django.

A hundred thousand clips take some tens of megabytes: texts are kept once each and named by a code.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annotations.corpora.importers.rows import KINDS

RECOGNITION, DESCRIPTION, CAUSE, PREVENTION, SPAN, ONSET = range(6)
TEXTS: Final = (DESCRIPTION, CAUSE, PREVENTION)
TIMES: Final = (SPAN, ONSET)
STATES: Final = ("missing", "valued", "absent", "unparsable", "out_of_clip")
MISSING, VALUED, ABSENT, UNPARSABLE, OUT_OF_CLIP = range(5)
RANKS: Final = ("none", "import", "person", "approved")
NO_RANK, IMPORTED, BY_PERSON, APPROVED = range(4)
UNKNOWN: Final = -1
"""No value, in every column of whole numbers (times and sizes are never negative)."""

Ints = NDArray[np.int64]
Codes = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Coded:
    """A column of text: row i reads `values[codes[i]]`; code UNKNOWN where there is none."""

    codes: Codes
    values: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> "Coded":
        """From one text per row; None and "" are no value."""
        coder = _Coder()
        return cls(np.fromiter((coder.code(text) for text in texts), dtype=np.int32), tuple(coder.values))

    @property
    def known(self) -> Mask:
        return np.asarray(self.codes != UNKNOWN)

    def __getitem__(self, row: int) -> str:
        code = int(self.codes[row])
        return "" if code == UNKNOWN else self.values[code]


@dataclass(frozen=True)
class Elsewhere:
    """A clip of another corpus that shows the same footage as row `row`. `why`: "bytes" or "cluster"."""

    row: int
    corpus: str
    name: str
    split: str
    why: str


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """What is known of one clip besides its answers. None and "": unknown. `rate`: frames per second, exact.

    `declared_duration_us`, `declared_frames`: what the imported record says of the clip's length.
    `inconsistent`: what the reader of the record found contradictory in it, one sentence each.
    `version_split`: its split in the corpus's newest dataset version. `place_us`: where in its recording it lies,
    from and up to.
    """

    video: int
    name: str
    case: int | None = None
    source: str = ""
    recording: str = ""
    recording_origin: str = "format"
    split: str = ""
    version_split: str = ""
    cluster: str = ""
    excluded: bool = False
    sha256: str = ""
    media_state: str = ""
    container: str = ""
    codec: str = ""
    width: int | None = None
    height: int | None = None
    rate: tuple[int, int] | None = None
    variable_rate: bool = False
    duration_us: int | None = None
    frames: int | None = None
    declared_duration_us: int | None = None
    declared_frames: int | None = None
    inconsistent: tuple[str, ...] = ()
    place_us: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """One answer that may count. `rank`: IMPORTED, BY_PERSON or APPROVED; `order`: larger is newer.

    `text`: the label of a recognition ("yes", "no") or the words; times in microseconds of the clip, `start_us` the
    onset where the kind is that.
    """

    video: int
    kind: str
    rank: int
    order: int
    state: str
    text: str | None = None
    start_us: int | None = None
    end_us: int | None = None


@dataclass(frozen=True)
class Columns:
    """Every clip of one corpus, sorted by name; row i of every column is the same clip. Times are microseconds.

    `states` and `ranks`: rows x the six kinds. `labels`: 1 yes, 0 no, UNKNOWN. `texts`: the three kinds of text, in the
    order of TEXTS. `length_us` is the media's duration or, where there is none, the declared one.
    """

    corpus: str
    videos: Ints
    cases: Ints
    names: tuple[str, ...]
    excluded: Mask
    source: Coded
    recording: Coded
    recording_known: Mask
    split: Coded
    version_split: Coded
    version: str
    cluster: Coded
    sha256: Coded
    media_state: Coded
    container: Coded
    codec: Coded
    width: Ints
    height: Ints
    rate_num: Ints
    rate_den: Ints
    variable_rate: Mask
    duration_us: Ints
    frames: Ints
    declared_duration_us: Ints
    declared_frames: Ints
    states: NDArray[np.int8]
    ranks: NDArray[np.int8]
    labels: NDArray[np.int8]
    texts: tuple[Coded, Coded, Coded]
    start_us: Ints
    end_us: Ints
    onset_us: Ints
    place_from_us: Ints
    place_to_us: Ints
    inconsistent: Mapping[int, tuple[str, ...]]
    elsewhere: tuple[Elsewhere, ...]
    recordings_elsewhere: Mapping[int, tuple[str, ...]]
    inputs_hash: str

    def __len__(self) -> int:
        return len(self.names)

    @property
    def length_us(self) -> Ints:
        return np.where(self.duration_us != UNKNOWN, self.duration_us, self.declared_duration_us)

    @property
    def crash(self) -> Mask:
        """Clips that are not said to show no crash: where texts and times are expected."""
        return np.asarray(~self.excluded & (self.labels != 0))


class _Coder:
    """Gives every distinct text a number, in order of appearance."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, text: str | None) -> int:
        if not text:
            return UNKNOWN
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self.values)
            self.values.append(text)
        return found


_HASHED: Final = tuple(name for name in ClipFacts.__dataclass_fields__ if name not in ("video", "case"))
_KIND_AT: Final[Mapping[str, int]] = {kind: place for place, kind in enumerate(KINDS)}
_STATE_AT: Final[Mapping[str, int]] = {state: place for place, state in enumerate(STATES)}


@dataclass
class Builder:
    """Takes clips, then answers, in any order and one at a time, and makes columns of them.

    Of several answers to one question the one of the highest rank counts, and of equals the newest.
    """

    corpus: str
    version: str = ""
    elsewhere: list[tuple[int, str, str, str, str]] = field(default_factory=list)
    recordings_elsewhere: dict[str, set[str]] = field(default_factory=dict)
    _clips: list[ClipFacts] = field(default_factory=list)
    _rows: dict[int, int] = field(default_factory=dict)
    _coders: tuple[_Coder, ...] = field(default_factory=lambda: tuple(_Coder() for _ in KINDS))

    def add_clip(self, clip: ClipFacts) -> None:
        """Raises ValueError for a clip that is there already."""
        if clip.video in self._rows:
            raise ValueError(f"clip {clip.video} is given twice")
        self._rows[clip.video] = len(self._clips)
        self._clips.append(clip)

    def end_clips(self) -> None:
        """Call once between clips and answers."""
        slots = len(self._clips) * len(KINDS)
        self._order = array("q", bytes(8 * slots))
        self._rank, self._state = array("b", bytes(slots)), array("b", bytes(slots))
        self._text = array("i", [UNKNOWN]) * slots
        self._start, self._end = array("q", [UNKNOWN]) * slots, array("q", [UNKNOWN]) * slots

    def add_answer(self, answer: AnswerFacts) -> None:
        """An answer of a clip that is not among the clips (imported meanwhile) is left aside."""
        row = self._rows.get(answer.video)
        if row is None:
            return
        kind = _KIND_AT[answer.kind]
        slot = row * len(KINDS) + kind
        if (answer.rank, answer.order) <= (self._rank[slot], self._order[slot]):
            return
        self._rank[slot], self._order[slot] = answer.rank, answer.order
        self._state[slot] = _STATE_AT[answer.state]
        self._text[slot] = self._coders[kind].code(answer.text and answer.text.strip())
        self._start[slot] = UNKNOWN if answer.start_us is None else answer.start_us
        self._end[slot] = UNKNOWN if answer.end_us is None else answer.end_us

    def add_elsewhere(self, video: int, *, corpus: str, name: str, split: str, why: str) -> None:
        """A clip of another corpus with the same bytes, or in the same cluster of duplicates."""
        if video in self._rows:
            self.elsewhere.append((video, corpus, name, split, why))

    def build(self) -> Columns:
        """The columns, sorted by name."""
        count = len(self._clips)
        by_name = sorted(range(count), key=lambda row: self._clips[row].name)
        order = np.asarray(by_name, dtype=np.int64)
        clips = [self._clips[row] for row in by_name]
        place = {clip.video: row for row, clip in enumerate(clips)}

        def slots(values: "array[int]", dtype: Any) -> NDArray[Any]:
            return (
                np.frombuffer(values, dtype=values.typecode).reshape(count, len(KINDS))[order].astype(dtype)
            )

        def ints(name: str) -> Ints:
            found = (getattr(clip, name) for clip in clips)
            return np.fromiter((UNKNOWN if value is None else value for value in found), np.int64, count)

        def flags(values: Iterable[bool]) -> Mask:
            return np.fromiter(values, np.bool_, count)

        def coded(name: str) -> Coded:
            return Coded.of(getattr(clip, name) for clip in clips)

        states, ranks, text = (
            slots(self._state, np.int8),
            slots(self._rank, np.int8),
            slots(self._text, np.int32),
        )
        start, end = slots(self._start, np.int64), slots(self._end, np.int64)
        recording = coded("recording")
        label_of = np.array(
            [{"yes": 1, "no": 0}.get(word, UNKNOWN) for word in self._coders[RECOGNITION].values] + [UNKNOWN],
            dtype=np.int8,
        )
        elsewhere = tuple(
            Elsewhere(place[video], *rest)
            for video, *rest in sorted(self.elsewhere, key=lambda e: (place[e[0]], e[1:]))
        )
        shared = {
            code: tuple(sorted(self.recordings_elsewhere[name]))
            for code, name in enumerate(recording.values)
            if name in self.recordings_elsewhere
        }
        description, cause, prevention = (
            Coded(np.ascontiguousarray(text[:, kind]), tuple(self._coders[kind].values)) for kind in TEXTS
        )
        columns = Columns(
            corpus=self.corpus, videos=ints("video"), cases=ints("case"), names=tuple(clip.name for clip in clips),
            excluded=flags(clip.excluded for clip in clips), source=coded("source"), recording=recording,
            recording_known=flags(clip.recording_origin != "name" for clip in clips), split=coded("split"),
            version_split=coded("version_split"), version=self.version, cluster=coded("cluster"),
            sha256=coded("sha256"), media_state=coded("media_state"), container=coded("container"),
            codec=coded("codec"), width=ints("width"), height=ints("height"),
            rate_num=np.fromiter((clip.rate[0] if clip.rate else UNKNOWN for clip in clips), np.int64, count),
            rate_den=np.fromiter((clip.rate[1] if clip.rate else UNKNOWN for clip in clips), np.int64, count),
            variable_rate=flags(clip.variable_rate for clip in clips), duration_us=ints("duration_us"),
            frames=ints("frames"), declared_duration_us=ints("declared_duration_us"),
            declared_frames=ints("declared_frames"), states=states, ranks=ranks,
            labels=label_of[text[:, RECOGNITION]], texts=(description, cause, prevention),
            start_us=start[:, SPAN], end_us=end[:, SPAN], onset_us=start[:, ONSET],
            place_from_us=np.fromiter((c.place_us[0] if c.place_us else UNKNOWN for c in clips), np.int64, count),
            place_to_us=np.fromiter((c.place_us[1] if c.place_us else UNKNOWN for c in clips), np.int64, count),
            inconsistent={row: clip.inconsistent for row, clip in enumerate(clips) if clip.inconsistent},
            elsewhere=elsewhere, recordings_elsewhere=shared, inputs_hash="",
        )  # fmt: skip
        digest = self._hash(clips, states, ranks, text, start, end, elsewhere, shared, recording)
        return _with_hash(columns, digest)

    def _hash(
        self,
        clips: Sequence[ClipFacts],
        states: NDArray[Any],
        ranks: NDArray[Any],
        text: NDArray[Any],
        start: NDArray[Any],
        end: NDArray[Any],
        elsewhere: Sequence[Elsewhere],
        shared: Mapping[int, tuple[str, ...]],
        recording: Coded,
    ) -> str:
        """SHA-256 over all that was read, clip after clip in the order of their names; no database id goes in."""
        sha = hashlib.sha256()

        def take(what: Any) -> None:
            sha.update(json.dumps(what, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")

        take([self.corpus, self.version])
        words = [[*coder.values, ""] for coder in self._coders]  # [-1], UNKNOWN, is ""
        for row, clip in enumerate(clips):
            facts = [getattr(clip, name) for name in _HASHED]
            said = [words[kind][code] for kind, code in enumerate(text[row].tolist())]
            take(
                [
                    facts,
                    states[row].tolist(),
                    ranks[row].tolist(),
                    said,
                    start[row].tolist(),
                    end[row].tolist(),
                ]
            )
        take(
            [[clips[found.row].name, found.corpus, found.name, found.split, found.why] for found in elsewhere]
        )
        take(sorted([recording.values[code], list(corpora)] for code, corpora in shared.items()))
        return sha.hexdigest()


def _with_hash(columns: Columns, inputs_hash: str) -> Columns:
    return Columns(**{**vars(columns), "inputs_hash": inputs_hash})
