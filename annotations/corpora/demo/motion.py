"""Rigid road users moving on a plane: footprints, motion profiles and the gap between two of them.

World axes: x along the road in the subject's driving direction, y to its left, metres; heading in radians,
counter-clockwise from x. Times are seconds, float64 [frames].
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

CONTACT_M = 1e-6
"""Footprints closer than this touch."""


@dataclass(frozen=True)
class Shape:
    """Length, width and height of a road user in metres."""

    length: float
    width: float
    height: float


SHAPES = {
    "car": Shape(4.4, 1.8, 1.5),
    "truck": Shape(8.0, 2.4, 3.1),
    "cyclist": Shape(1.8, 0.6, 1.7),
    "pedestrian": Shape(0.5, 0.5, 1.75),
}


@dataclass(frozen=True)
class Track:
    """One road user over a clip: centre x, y, heading [frames], and whether the brake lights burn
    [frames]."""

    kind: str
    x: Floats
    y: Floats
    heading: Floats
    braking: Flags
    colour: int = 0
    ego: bool = False

    @property
    def shape(self) -> Shape:
        """The road user's size."""
        return SHAPES[self.kind]

    def footprint(self) -> Floats:
        """Corners of the outline on the ground, [frames, 4, 2]: front left, front right, rear right, rear
        left."""
        half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * [self.shape.length / 2, self.shape.width / 2]
        cos, sin = np.cos(self.heading)[:, None], np.sin(self.heading)[:, None]
        x = self.x[:, None] + cos * half[:, 0] - sin * half[:, 1]
        y = self.y[:, None] + sin * half[:, 0] + cos * half[:, 1]
        return np.stack([x, y], axis=-1)

    def settled(
        self, times: Floats, contact: int, rest: int, speed: tuple[float, float], spin: float
    ) -> Self:
        """This track until frame `contact`; from there slowing evenly from `speed` (m/s, x and y) to rest
        at `rest`.

        With u = (t - t_contact) / (t_rest - t_contact) in 0..1, the way done is speed * duration / 2 * (2u
        - u^2). The body turns by `spin` radians in the same manner.
        """
        duration = times[rest] - times[contact]
        u = np.clip((times - times[contact]) / duration, 0.0, 1.0)
        done = 2 * u - u * u
        after = np.arange(times.size) > contact
        held = {name: getattr(self, name)[contact] for name in ("x", "y", "heading")}
        return replace(
            self,
            x=np.where(after, held["x"] + speed[0] * duration / 2 * done, self.x),
            y=np.where(after, held["y"] + speed[1] * duration / 2 * done, self.y),
            heading=np.where(after, held["heading"] + spin * done, self.heading),
            braking=self.braking | after,
        )

    def first_still(self) -> int:
        """The first frame from which the body stays where it is to the end of the clip."""
        moved = (np.diff(self.x) != 0) | (np.diff(self.y) != 0) | (np.diff(self.heading) != 0)
        return int(np.flatnonzero(moved)[-1]) + 1 if moved.any() else 0


def gap(a: Track, b: Track) -> Floats:
    """Separation of two outlines in metres [frames]: at most 0 where they overlap.

    Separating-axis test on the four side directions of the two rectangles: the greatest distance between
    their projections. Exact for "do they touch"; where they are apart it is a lower bound of the true
    distance.
    """
    corners = [a.footprint(), b.footprint()]
    best = np.full(a.x.shape, -np.inf)
    for owner in (a, b):
        for turn in (0.0, np.pi / 2):
            axis = np.stack([np.cos(owner.heading + turn), np.sin(owner.heading + turn)], axis=-1)
            first, second = (np.einsum("fcd,fd->fc", corner, axis) for corner in corners)
            apart = np.maximum(first.min(1) - second.max(1), second.min(1) - first.max(1))
            best = np.maximum(best, apart)
    return best


def first_contact(a: Track, b: Track) -> int | None:
    """The first frame in which the two touch, or None."""
    touching = np.flatnonzero(gap(a, b) <= CONTACT_M)
    return int(touching[0]) if touching.size else None


def since(times: Floats, start: float) -> Floats:
    """Seconds after `start`, 0 before."""
    return np.maximum(times - start, 0.0)


def slowing(elapsed: Floats, speed: float, deceleration: float, down_to: float = 0.0) -> Floats:
    """Way in metres after `elapsed` seconds of braking from `speed` to `down_to`, then going on at that
    speed."""
    braking = np.minimum(elapsed, (speed - down_to) / deceleration)
    way = speed * braking - deceleration * braking**2 / 2 + down_to * (elapsed - braking)
    return np.asarray(way, dtype=np.float64)


def ease(elapsed: Floats, duration: float) -> Floats:
    """Smooth 0 to 1 over `duration`, at rest at both ends: 3u^2 - 2u^3."""
    u = np.clip(elapsed / duration, 0.0, 1.0)
    return np.asarray(3 * u**2 - 2 * u**3, dtype=np.float64)


def course(x: Floats, y: Floats) -> Floats:
    """Heading along the last step of the way [frames]; 0 where the body stands still.

    Looks back only, so that a turn never shows before it begins.
    """
    dx, dy = np.diff(x), np.diff(y)
    dx, dy = np.concatenate([dx[:1], dx]), np.concatenate([dy[:1], dy])
    heading = np.where(np.hypot(dx, dy) > 1e-9, np.arctan2(dy, dx), 0.0)
    return np.asarray(heading, dtype=np.float64)
