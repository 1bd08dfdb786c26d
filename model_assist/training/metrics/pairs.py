"""What is scored: a true answer beside a predicted one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, Any]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MICROSECONDS: Final = 1_000_000
MISSING: Final = "missing"
"""The predicted state of a clip that the model was not asked about, or whose answer was lost."""


@dataclass(frozen=True)
class Pair:
    """What was true and what was predicted for one kind of one clip; values have the kind's JSON shape.

    predicted_state: an answer's state, or "missing". raw: the words the model wrote, where they are known.
    published: the prediction as CrashChat's evaluation wrote it into its file ("Yes", a text, (start, end) or a
    time in seconds); None where there is no such file. Both only serve the published scores. crash_start_us: the
    true start of the crash, for onsets whose record holds no span.
    """

    truth_state: str
    truth: Mapping[str, Any] | None
    predicted_state: str
    predicted: Mapping[str, Any] | None
    raw: str | None = None
    published: str | float | tuple[float, float] | None = None
    crash_start_us: int | None = None


Record = Mapping[str, Pair]
"""One clip: a pair for every kind that has a true answer."""


class Units:
    """What the bootstrap draws: recordings where they are known, else clips."""

    def __init__(self, recordings: Sequence[str] | None) -> None:
        self.name = "clips" if recordings is None else "recordings"
        self._recordings = recordings

    def of(self, places: Sequence[int]) -> Integers:
        """The unit of each of these records, numbered from 0 without gaps."""
        if self._recordings is None:
            return np.arange(len(places))
        names = np.array([self._recordings[place] for place in places], dtype=object)
        return np.unique(names, return_inverse=True)[1].astype(np.int64) if len(places) else np.arange(0)


def usable(pair: Pair) -> bool:
    """Whether the prediction is a value of its kind (beyond the clip's end included)."""
    return pair.predicted_state in ("valued", "out_of_clip") and pair.predicted is not None


def counts(pairs: Iterable[Pair]) -> Scores:
    """How many pairs there are, and how many of them have no readable prediction or none at all."""
    held = list(pairs)
    return {
        "unparsable": sum(p.predicted_state == "unparsable" for p in held),
        "missing": sum(p.predicted_state == MISSING for p in held),
    }


def time_counts(pairs: Sequence[Pair]) -> Scores:
    """Counts that both time kinds report.

    false_alarms: there is no true time, but one was predicted. predicted_absent: the other way round.
    """
    return {
        **counts(pairs),
        "truth_absent": sum(p.truth is None for p in pairs),
        "false_alarms": sum(p.truth is None and usable(p) for p in pairs),
        "predicted_absent": sum(p.truth is not None and p.predicted_state == "absent" for p in pairs),
        "out_of_clip": sum(p.predicted_state == "out_of_clip" for p in pairs),
    }


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole elementwise, and 0 where whole is 0."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.zeros(shape), where=np.broadcast_to(whole, shape) != 0)
