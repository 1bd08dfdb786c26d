"""How fast runs go: of a run at this moment, and of earlier runs of a model version, from the answers' times alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby, pairwise
from statistics import median
from typing import Final

from django.db.models import Count, Q

from model_assist.predictions.models import CasePrediction, PredictionRun
from model_assist.registry.models import ModelVersion

RECENT: Final = timedelta(minutes=5)
LATELY: Final = timedelta(hours=1)
ENOUGH: Final = 10
"""So many cases in the last minutes make a rate; with fewer, the last hour is asked."""
SAMPLE: Final = 2000
"""So many of the newest answers tell the pace of earlier runs."""
SAME_BATCH: Final = timedelta(seconds=1)
STANDSTILL: Final = 20
"""A gap so many times the usual one was a pause, a night, or a worker that was away."""
SHORTEST_STANDSTILL: Final = 60.0
LEAST: Final = 3
"""Fewer clips than that measure nothing."""


@dataclass(frozen=True)
class Rate:
    """Cases per minute over the last `seconds` in which the run was not held."""

    per_minute: float
    cases: int
    seconds: float


def rate_of(run: PredictionRun, *, now: datetime) -> Rate | None:
    """How fast the run goes: over the last minutes, or the last hour where few came; time before its last resumption
    does not count. None while it is held, and when nothing was answered in that time."""
    if run.paused_at is not None:
        return None
    began = run.active_since or run.created_at
    recent, lately = (max(began, now - back) for back in (RECENT, LATELY))
    found = CasePrediction.objects.filter(run=run, predicted_at__gte=lately, predicted_at__lte=now).aggregate(
        lately=Count("pk"), recent=Count("pk", filter=Q(predicted_at__gte=recent))
    )
    since, cases = (recent, found["recent"]) if found["recent"] >= ENOUGH else (lately, found["lately"])
    seconds = (now - since).total_seconds()
    if not cases or seconds <= 0:
        return None
    return Rate(per_minute=60 * cases / seconds, cases=cases, seconds=seconds)


@dataclass(frozen=True)
class Pace:
    """Seconds that earlier runs took per clip on a device, all their workers together. `device` '' was not told."""

    device: str
    seconds_per_clip: float
    clips: int
    runs: int
    same_kinds: bool


def paces_of(version: ModelVersion, kinds: Sequence[str]) -> list[Pace]:
    """The pace of this model version by device, the most measured first: of its runs that asked the same kinds, else
    of any of its runs. [] when nothing was measured."""
    same = _paces(version, kinds)
    return same or _paces(version, None)


def _paces(version: ModelVersion, kinds: Sequence[str] | None) -> list[Pace]:
    rows = CasePrediction.objects.filter(run__model_version=version, predicted_at__isnull=False)
    if kinds is not None:
        rows = rows.filter(run__kinds=list(kinds))
    newest = rows.order_by("-run_id", "-predicted_at").values_list("device", "run_id", "predicted_at")[
        :SAMPLE
    ]
    times: dict[str, list[tuple[float, int]]] = {}
    ordered = sorted(newest, key=lambda row: (row[0], row[1], row[2]))
    for (device, _run), answered in groupby(ordered, key=lambda row: row[:2]):
        measured = busy_seconds([at for _, _, at in answered if at is not None])
        if measured is not None:
            times.setdefault(device, []).append(measured)
    found = [
        Pace(
            device=device, seconds_per_clip=sum(s for s, _ in runs) / sum(n for _, n in runs),
            clips=sum(n for _, n in runs), runs=len(runs), same_kinds=kinds is not None,
        )
        for device, runs in times.items()
    ]  # fmt: skip
    return sorted(found, key=lambda pace: -pace.clips)


def busy_seconds(at: Sequence[datetime]) -> tuple[float, int] | None:
    """(seconds, clips) that one run's answers, in order, tell of: from the first batch's end on, without standstills.

    Answers within a second of the first one came with it and took no time of their own that could be seen. None when
    fewer than LEAST clips are left.
    """
    gaps = [(after - before).total_seconds() for before, after in pairwise(at)]
    moving = [gap for gap in gaps if gap > 0]
    if not moving:
        return None
    limit = max(SHORTEST_STANDSTILL, STANDSTILL * median(moving))
    kept = [gap for gap in gaps if gap <= limit]
    first_batch = sum(1 for one in at[1:] if one - at[0] <= SAME_BATCH)
    clips = len(kept) - first_batch
    return (sum(kept), clips) if clips >= LEAST else None
