"""What simulated reviewers answer, and how long they would have been at it. Nothing here is measured of a person."""

import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from crashdesk.demo.client import Client
from crashdesk.demo.reviewer import Region
from crashdesk.demo.truth import corrected

SPAN: Final = "crash_localization"
LOOK_SECONDS: Final = 2.0
"""To look at one answer that a draft gives."""
DRAG_SECONDS: Final = 4.0
"""To set a choice or a range on the timeline."""
KEYS_PER_SECOND: Final = 5.0
SPREAD: Final = 0.2
"""Standard deviation of the logarithm of the time that one review takes."""
BETWEEN_MS: Final = 3000
EVERY_MS: Final = 2000
_BATCHES: Final = uuid.UUID("6f2f1f2e-5d0a-4c0e-9a53-0c7a4d3d7a11")


@dataclass(frozen=True)
class Toil:
    """The simulated work of one review: seconds without a pause, and keys that write."""

    seconds: float
    typed: int


@dataclass(frozen=True)
class Pass:
    """One review that is to be made: the task, its case, what is submitted, and the draft that it begins from."""

    task: int
    case: int
    regions: list[Region]
    prediction: int | None
    toil: Toil


def seen_as(truth: Mapping[str, Any], *, careless: bool) -> dict[str, Any]:
    """What a simulated person sees: the truth, or, where they are careless, the last third of the crash alone."""
    seen = dict(truth)
    span = truth[SPAN]["value"]
    if careless and span is not None:
        begins = span["start_us"] + 2 * (span["end_us"] - span["start_us"]) // 3
        seen[SPAN] = {"state": "valued", "value": {**span, "start_us": begins}}
    return seen


def prepare(
    *,
    task: int,
    draft: tuple[list[Region], int | None, dict[str, Any]],
    row: Mapping[str, Any],
    careless: bool = False,
) -> Pass:
    """A review of a task whose clip's row in the manifest is `row`; the same case takes the same time each time."""
    shown, prediction, data = draft
    fps = Fraction(data["fps"]).limit_denominator(100_000)
    regions = corrected(seen_as(row["truth"], careless=careless), fps)
    toil = toil_of(shown, regions, clip_us=row["duration_us"], draw=random.Random(f"toil:{task}"))
    return Pass(task, data["case_id"], regions, prediction, toil)


def toil_of(shown: Sequence[Region], said: Sequence[Region], *, clip_us: int, draw: random.Random) -> Toil:
    """The clip is watched once; each answer of the draft is looked at, and what differs from it is set or typed."""
    before, after = _by_place(shown), _by_place(said)
    seconds, typed = clip_us / 1e6 + LOOK_SECONDS * len(before), 0
    for place, value in after.items():
        if before.get(place) == value:
            continue
        if "text" in value:
            keys = sum(map(len, value["text"]))
            typed += keys
            seconds += keys / KEYS_PER_SECOND
        else:
            seconds += DRAG_SECONDS
    return Toil(seconds * draw.lognormvariate(0.0, SPREAD), typed)


def _by_place(regions: Sequence[Region]) -> dict[str, Any]:
    """What each control says, ranges by their label."""
    found = {}
    for region in regions:
        label = (region["value"].get("timelinelabels") or [""])[0]
        found[f"{region['from_name']} {label}"] = region["value"]
    return found


class Clock:
    """Tells CrashDesk of the simulated work of one person, one review behind the other, the last over `ago_s` ago.

    A script answers in no time: the moments lie where they would if it had taken as long as the reviews say, and what
    is told with another `ago_s` lies apart.
    """

    def __init__(self, client: Client, passes: Sequence[Pass], *, ago_s: int = 0) -> None:
        self.client = client
        total = sum(1000 * one.toil.seconds + BETWEEN_MS for one in passes)
        self._at = round((time.time() - ago_s) * 1000 - total)

    def tell(self, done: Pass) -> None:
        """Of the next review. Telling of the same task again counts once."""
        ends = self._at + round(1000 * done.toil.seconds)
        moments = [*range(self._at, ends, EVERY_MS), ends]
        self._at = ends + BETWEEN_MS
        self.client.post(
            "activity",
            {
                "case": done.case,
                "batch": str(uuid.uuid5(_BATCHES, f"task {done.task}")),
                "place": "labelstudio",
                "now": round(time.time() * 1000),
                "at": moments,
                "pointer": len(moments),
                "typed": done.toil.typed,
            },
        )


def nearer(
    truth: Mapping[str, Any], first: Mapping[str, Any] | None, second: Mapping[str, Any] | None
) -> str:
    """Which of two answers, first or second, is nearer to what is true; the first where they are equally near."""
    return "second" if _off(truth, second) < _off(truth, first) else "first"


def _off(truth: Mapping[str, Any], said: Mapping[str, Any] | None) -> float:
    if said is None or said["state"] != truth["state"]:
        return float("inf")
    told, true = said["value"] or {}, truth["value"] or {}
    if any(name.endswith("_us") for name in true):
        return float(sum(abs(told[name] - at) for name, at in true.items()))
    return float(told != true)
