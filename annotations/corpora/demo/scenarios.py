"""Scenes with exact ground truth: who moves how, when the first cue shows, when they touch, when they rest.

Each manoeuvre is built backwards from the instant of contact, so that contact falls on a chosen frame; the
frames in the ground truth are then measured on the finished tracks and must agree.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from annotations.corpora.demo.motion import (
    SHAPES,
    Flags,
    Floats,
    Track,
    course,
    ease,
    first_contact,
    gap,
    since,
    slowing,
)

LANE_M = 3.5
CRASH, NEAR_MISS, UNEVENTFUL = "crash", "near_miss", "uneventful"

REAR_END, STEP_OUT, CUT_IN, ONCOMING = "rear_end", "step_out", "cut_in", "oncoming"

_REACTION_S = 0.35
_CLEARANCE_M = 0.4
_TRIES = 60


@dataclass(frozen=True)
class Role:
    """Who does what: `subject` hits `object` by way of `manoeuvre`; `ego` when the camera car is the
    subject."""

    manoeuvre: str
    subject: str
    object: str
    ego: bool = False


EGO_ROLES = (
    Role(REAR_END, "car", "car", ego=True),
    Role(REAR_END, "car", "truck", ego=True),
    Role(STEP_OUT, "car", "pedestrian", ego=True),
    Role(STEP_OUT, "car", "cyclist", ego=True),
    Role(STEP_OUT, "car", "car", ego=True),
    Role(CUT_IN, "car", "cyclist", ego=True),
    Role(CUT_IN, "car", "car", ego=True),
    Role(CUT_IN, "car", "truck", ego=True),
)
WITNESSED_ROLES = (
    Role(REAR_END, "car", "car"),
    Role(REAR_END, "truck", "car"),
    Role(STEP_OUT, "car", "pedestrian"),
    Role(STEP_OUT, "truck", "cyclist"),
    Role(STEP_OUT, "car", "car"),
    Role(STEP_OUT, "car", "truck"),
    Role(CUT_IN, "truck", "car"),
    Role(CUT_IN, "car", "cyclist"),
    Role(ONCOMING, "car", "car"),
    Role(ONCOMING, "car", "truck"),
)
DASHCAM_ROLES = (*EGO_ROLES, Role(ONCOMING, "car", "truck"), Role(ONCOMING, "car", "car"))


@dataclass(frozen=True)
class Truth:
    """Frames of the first visible cue, the first contact and the first frame at rest; None without a
    crash."""

    onset: int | None = None
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class Scene:
    """Tracks (subject first, object second) with their ground truth."""

    role: Role
    outcome: str
    tracks: tuple[Track, ...]
    truth: Truth


@dataclass(frozen=True)
class _Plan:
    """`cue`: the last frame before anything is unusual (it shows one frame later). Contact and rest frames
    follow."""

    role: Role
    outcome: str
    times: Floats
    cue: int
    contact: int
    rest: int
    speed: float
    rng: random.Random

    @property
    def after_cue(self) -> Floats:
        return since(self.times, self.times[self.cue])

    @property
    def to_contact(self) -> Floats:
        """Seconds after the planned contact, negative before."""
        return np.asarray(self.times - self.times[self.contact], dtype=np.float64)

    @property
    def warning_s(self) -> float:
        return float(self.times[self.contact] - self.times[self.cue])


def simulate(role: Role, outcome: str, times: Floats, rng: random.Random, *, witness: bool = False) -> Scene:
    """A scene of `role` with `outcome` on the frame times `times` (at least 4 s of them).

    `witness`: adds a camera car behind the others when the role has none. Deterministic in `rng`. Draws again
    where bodies that should not touch would; RuntimeError when that never works.
    """
    for _ in range(_TRIES):
        plan = _draw_plan(role, outcome, times, rng)
        subject, target = _MANOEUVRES[role.manoeuvre](plan)
        subject = replace(subject, ego=role.ego)
        if outcome == CRASH:
            subject, target = _collide(plan, subject, target)
        tracks = [subject, target]
        if witness and not role.ego:
            tracks.append(_witness(plan))
        tracks += _traffic(plan, tracks)
        truth = _measure(plan, tracks)
        if truth is not None:
            return Scene(role, outcome, tuple(tracks), truth)
    raise RuntimeError(f"no scene of {role} with {outcome} in {_TRIES} tries")


def _draw_plan(role: Role, outcome: str, times: Floats, rng: random.Random) -> _Plan:
    length = float(times[-1])
    cue_s = rng.uniform(0.15, 0.30) * length
    contact_s = cue_s + rng.uniform(0.95, 1.5)
    rest_s = contact_s + rng.uniform(0.8, min(2.0, length - 0.2 - contact_s))
    cue, contact, rest = (int(np.searchsorted(times, s)) for s in (cue_s, contact_s, rest_s))
    return _Plan(role, outcome, times, cue, contact, min(rest, times.size - 1), rng.uniform(9.0, 12.0), rng)


def _track(plan: _Plan, kind: str, x: Floats, y: Floats, heading: Floats | None = None) -> Track:
    return Track(
        kind=kind,
        x=x,
        y=y,
        heading=course(x, y) if heading is None else heading,
        braking=np.zeros(x.shape, dtype=np.bool_),
        colour=plan.rng.randrange(1000),
    )


def _subject_way(plan: _Plan, *, stop_short_m: float | None, down_to: float = 0.0) -> tuple[Floats, Flags]:
    """x of the subject's front against the place of contact, and when it brakes; at contact it is 0.

    In a near miss it brakes after a reaction time: to stand `stop_short_m` before the place of contact, or
    (None) at 7 m/s^2 down to the speed `down_to`.
    """
    front = plan.speed * plan.to_contact
    braking = np.zeros(front.shape, dtype=np.bool_)
    if plan.outcome != NEAR_MISS:
        return front, braking
    reacts = plan.times[plan.cue] + _REACTION_S
    room = plan.speed * (plan.times[plan.contact] - reacts)
    elapsed = since(plan.times, reacts)
    rate = 7.0 if stop_short_m is None else plan.speed**2 / (2 * max(room - stop_short_m, 0.5))
    slowed = -room + slowing(elapsed, plan.speed, rate, down_to)
    return np.where(elapsed > 0, slowed, front), elapsed > 0


def _rear_end(plan: _Plan) -> tuple[Track, Track]:
    """The vehicle ahead brakes hard."""
    subject_shape, target_shape = SHAPES[plan.role.subject], SHAPES[plan.role.object]
    rate = min(0.85 * plan.speed / plan.warning_s, 7.0)
    eventful = plan.outcome != UNEVENTFUL
    way = slowing(plan.after_cue, plan.speed, rate) if eventful else plan.speed * plan.after_cue
    way = way + np.minimum(plan.times - plan.times[plan.cue], 0.0) * plan.speed
    at_contact = float(slowing(np.array([plan.warning_s]), plan.speed, rate)[0])
    rear = way - at_contact
    if not eventful:
        rear = rear + 2.0
    if plan.outcome == NEAR_MISS:
        ahead = rate * plan.warning_s**2 / 2
        needed = plan.speed * _REACTION_S + plan.speed**2 / 14.0 - plan.speed**2 / (2 * rate) + 1.5
        rear = rear + max(0.0, needed - ahead, plan.speed * _REACTION_S + 1.5 - ahead)
    front, brakes = _subject_way(plan, stop_short_m=None)
    still = np.zeros_like(front)
    subject = _track(plan, plan.role.subject, front - subject_shape.length / 2, still, still)
    target = _track(plan, plan.role.object, rear + target_shape.length / 2, still, still)
    return replace(subject, braking=brakes), replace(target, braking=(plan.after_cue > 0) & eventful)


def _step_out(plan: _Plan) -> tuple[Track, Track]:
    """Somebody waiting at the side goes into the subject's path."""
    subject_shape, target_shape = SHAPES[plan.role.subject], SHAPES[plan.role.object]
    on_foot = plan.role.object in ("pedestrian", "cyclist")
    side = plan.rng.choice([-1.0, 1.0]) if on_foot else -1.0
    waiting = (
        side * (plan.rng.uniform(3.2, 4.2) + target_shape.length / 2) if side < 0 else 3.0 * LANE_M / 2 + 1.5
    )
    target_y = plan.rng.uniform(-0.5, 0.5)
    u = plan.after_cue / plan.warning_s
    progress = u if plan.role.object == "pedestrian" else np.where(u < 1, u**2, 2 * u - 1)
    if plan.outcome == UNEVENTFUL:
        progress = np.zeros_like(u)
    y = waiting + (target_y - waiting) * progress
    front, brakes = _subject_way(plan, stop_short_m=1.2)
    still = np.zeros_like(front)
    subject = _track(plan, plan.role.subject, front - subject_shape.length / 2, still, still)
    heading = still + (-side) * np.pi / 2
    target = _track(plan, plan.role.object, still + target_shape.width / 2, y, heading)
    return replace(subject, braking=brakes), target


def _cut_in(plan: _Plan) -> tuple[Track, Track]:
    """A slower road user changes into the subject's lane."""
    subject_shape, target_shape = SHAPES[plan.role.subject], SHAPES[plan.role.object]
    beside = -2.1 if plan.role.object == "cyclist" else LANE_M
    slower = plan.speed - plan.rng.uniform(4.0, 5.5)
    x = target_shape.length / 2 + slower * plan.to_contact
    moved = ease(plan.after_cue, plan.warning_s) if plan.outcome != UNEVENTFUL else np.zeros_like(x)
    y = beside * (1 - moved)
    down_to = slower if plan.outcome == NEAR_MISS else 0.0
    front, brakes = _subject_way(plan, stop_short_m=None, down_to=down_to)
    still = np.zeros_like(front)
    subject = _track(plan, plan.role.subject, front - subject_shape.length / 2, still, still)
    return replace(subject, braking=brakes), _track(plan, plan.role.object, x, y)


def _oncoming(plan: _Plan) -> tuple[Track, Track]:
    """The subject leaves its lane and meets oncoming traffic head on."""
    subject_shape, target_shape = SHAPES[plan.role.subject], SHAPES[plan.role.object]
    other = plan.rng.uniform(8.0, 11.0)
    front = plan.speed * plan.to_contact
    if plan.outcome == CRASH:
        y = LANE_M * 0.85 * ease(plan.after_cue, plan.warning_s)
    elif plan.outcome == NEAR_MISS:
        out = plan.warning_s * 0.55
        back = since(plan.times, plan.times[plan.cue] + out)
        y = 0.3 * LANE_M * (ease(plan.after_cue, out) - ease(back, out))
    else:
        y = np.zeros_like(front)
    x = target_shape.length / 2 - other * plan.to_contact
    still = np.zeros_like(front)
    target = _track(plan, plan.role.object, x, still + LANE_M, still + np.pi)
    return _track(plan, plan.role.subject, front - subject_shape.length / 2, y), target


_MANOEUVRES: dict[str, Callable[[_Plan], tuple[Track, Track]]] = {
    REAR_END: _rear_end,
    STEP_OUT: _step_out,
    CUT_IN: _cut_in,
    ONCOMING: _oncoming,
}


def _collide(plan: _Plan, subject: Track, target: Track) -> tuple[Track, Track]:
    """Both slide to rest after contact; a light body is thrown ahead, vehicles share their momentum."""
    light = target.kind in ("pedestrian", "cyclist")
    before = plan.speed
    if plan.role.manoeuvre == ONCOMING:
        own, pushed = 2.0, -1.5
    elif light:
        own, pushed = before * 0.9, before * 1.15
    else:
        own, pushed = before * 0.55, before * 0.75
    spin = plan.rng.choice([-1, 1]) * plan.rng.uniform(0.15, 0.5)
    sideways = plan.rng.uniform(-0.8, 0.8)
    hit = target.settled(plan.times, plan.contact, plan.rest, (pushed, sideways), spin)
    ego_spin = 0.0 if plan.role.ego else -spin / 3
    return subject.settled(plan.times, plan.contact, plan.rest, (own, 0.0), ego_spin), hit


def _witness(plan: _Plan) -> Track:
    """The camera car, well behind the subject; it brakes once it sees the crash."""
    behind = plan.rng.uniform(20.0, 26.0) + SHAPES[plan.role.subject].length + SHAPES["car"].length / 2
    x = plan.speed * plan.to_contact - behind
    if plan.outcome == CRASH:
        seen = since(plan.times, plan.times[plan.contact] + 0.3)
        x = np.where(seen > 0, x[plan.contact] + plan.speed * 0.3 + slowing(seen, plan.speed, 5.0), x)
    still = np.zeros_like(x)
    return replace(_track(plan, "car", x, still, still), ego=True)


def _traffic(plan: _Plan, others: list[Track]) -> list[Track]:
    """Up to three more road users that keep clear of everybody: oncoming, parked, walking on the pavement."""
    added: list[Track] = []
    still = np.zeros_like(plan.times)
    for _ in range(plan.rng.randrange(1, 5)):
        choice = plan.rng.choice(["oncoming", "oncoming", "walker", "parked"])
        x0 = plan.rng.uniform(-25.0, 45.0)
        if choice == "oncoming":
            kind = plan.rng.choice(["car", "car", "truck"])
            x = x0 - plan.rng.uniform(7.0, 11.0) * plan.times
            track = _track(plan, kind, x, still + LANE_M, still + np.pi)
        elif choice == "walker":
            x = x0 + plan.rng.choice([-1.3, 1.3]) * plan.times
            track = _track(plan, "pedestrian", x, still - plan.rng.uniform(5.5, 6.5), still)
        else:
            track = _track(plan, "car", still + x0, still + LANE_M + 4.2, still + np.pi)
        if all(float(gap(track, other).min()) > _CLEARANCE_M for other in [*others, *added]):
            added.append(track)
    return added


def _measure(plan: _Plan, tracks: list[Track]) -> Truth | None:
    """Ground truth read off the tracks; None where somebody touches whom they should not, or the plan
    failed."""
    subject, target = tracks[:2]
    met = first_contact(subject, target)
    for a, b in combinations(tracks, 2):
        if (a is not subject or b is not target) and float(gap(a, b).min()) <= 0.1:
            return None
    if plan.outcome != CRASH:
        return Truth() if met is None and float(gap(subject, target).min()) > 0.15 else None
    end = max(subject.first_still(), target.first_still())
    if met != plan.contact or end != plan.rest:
        return None
    return Truth(onset=plan.cue + 1, start=met, end=end)
