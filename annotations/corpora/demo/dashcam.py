"""The view through a windscreen: flat road in perspective, boxes for road users.

Pinhole camera at height _EYE_M looking along x. A point at distance d ahead, l to the left and z above the
road lies at column cx - f l / d, row horizon + f (eye - z) / d.
"""

import random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from annotations.corpora.demo.motion import SHAPES, Floats, Track
from annotations.corpora.demo.palette import (
    BRAKE_LIGHT,
    GLASS,
    HEAD_LIGHT,
    SKIN,
    TAIL_LIGHT,
    Colour,
    Palette,
)
from annotations.corpora.demo.scenarios import LANE_M

Pixels = npt.NDArray[np.uint8]
Point = tuple[float, float]

_EYE_M = 1.35
_BEHIND_FRONT_M = 1.7
_NEAREST_M = 0.9
_FARTHEST_M = 90.0


class Dashcam:
    """Draws frames of one recording as its camera car sees them (the track marked `ego`)."""

    def __init__(self, size: tuple[int, int], palette: Palette, rng: random.Random) -> None:
        self.size = size
        self.palette = palette
        self._focal = size[0] * rng.uniform(0.58, 0.66)
        self._horizon = size[1] * rng.uniform(0.42, 0.48)
        self._post_gap = rng.choice([12.0, 16.0, 20.0])
        self._background = self._draw_background(rng)

    def frame(self, tracks: tuple[Track, ...], index: int) -> Pixels:
        """Frame `index` as RGB uint8 [height, width, 3]. ValueError when no track is `ego`."""
        ego, eye_x, eye_y = self._eye(tracks, index)
        image = self._background.copy()
        draw = ImageDraw.Draw(image)
        self._draw_paint(draw, eye_x, eye_y)
        things: list[tuple[float, Track | float]] = [
            (float(track.x[index]) - eye_x, track) for track in tracks if track is not ego
        ]
        first = np.ceil((eye_x + 2.0) / self._post_gap) * self._post_gap
        things += [
            (place - eye_x, place) for place in np.arange(first, eye_x + 70.0, self._post_gap).tolist()
        ]
        for distance, thing in sorted(things, key=lambda pair: -pair[0]):
            if isinstance(thing, Track):
                self._draw_body(draw, thing, index, eye_x, eye_y)
            else:
                self._draw_post(draw, distance, eye_y)
        return np.asarray(image)

    def outlines(self, tracks: tuple[Track, ...], index: int) -> list[tuple[int, list[Point]]]:
        """Where each visible road user lies in the picture, the farthest first: (position in `tracks`, corners
        of its bounding box in pixels)."""
        ego, eye_x, eye_y = self._eye(tracks, index)
        found: list[tuple[float, int, list[Point]]] = []
        for number, track in enumerate(tracks):
            ground = track.footprint()[index] - [eye_x, eye_y]
            if track is ego or ground[:, 0].max() < _NEAREST_M or ground[:, 0].min() > _FARTHEST_M:
                continue
            heights = (0.0, track.shape.height)
            columns, rows = zip(
                *(self._place(x, y, z) for x, y in ground.tolist() for z in heights), strict=True
            )
            left, right, top, bottom = min(columns), max(columns), min(rows), max(rows)
            box = [(left, top), (right, top), (right, bottom), (left, bottom)]
            found.append((float(track.x[index]), number, box))
        return [(number, box) for _, number, box in sorted(found, key=lambda one: -one[0])]

    def _eye(self, tracks: tuple[Track, ...], index: int) -> tuple[Track, float, float]:
        """The camera car and where its camera is."""
        ego = next((track for track in tracks if track.ego), None)
        if ego is None:
            raise ValueError("a dashcam scene needs a camera car")
        eye_x = float(ego.x[index]) + SHAPES["car"].length / 2 - _BEHIND_FRONT_M
        return ego, eye_x, float(ego.y[index])

    def _place(self, distance: float, left: float, height: float) -> Point:
        near = max(distance, _NEAREST_M)
        return (
            self.size[0] / 2 - self._focal * left / near,
            self._horizon + self._focal * (_EYE_M - height) / near,
        )

    def _draw_background(self, rng: random.Random) -> Image.Image:
        width, height = self.size
        palette = self.palette
        image = Image.new("RGB", self.size, palette.sky)
        draw = ImageDraw.Draw(image)
        column = 0
        while column < width:
            block = rng.randrange(14, 44)
            top = self._horizon - rng.uniform(4, 26)
            shade = tuple(max(0, part + rng.randrange(-14, 15)) for part in palette.far)
            draw.rectangle((column, top, column + block, self._horizon), fill=shade)
            if palette.light < 1:
                for _ in range(4):
                    x, y = column + rng.uniform(2, block), rng.uniform(top, self._horizon)
                    draw.point((x, y), fill=(220, 200, 120))
            column += block
        draw.rectangle((0, self._horizon, width, height), fill=palette.ground)
        self._area(draw, (_NEAREST_M, 400.0), (-LANE_M / 2 - 0.6, 1.5 * LANE_M + 3.6), palette.asphalt)
        self._area(
            draw, (_NEAREST_M, 400.0), (-LANE_M / 2 - 3.2, -LANE_M / 2 - 0.6), palette.shade((150, 146, 138))
        )
        if palette.light < 1:
            lit = tuple(min(255, round(part * 1.7)) for part in palette.asphalt)
            self._area(draw, (_NEAREST_M, 16.0), (-1.6, 1.6), lit)
        grain = np.random.default_rng(rng.randrange(2**32)).integers(-4, 5, (height, width, 1))
        noisy = np.clip(np.asarray(image).astype(np.int16) + grain, 0, 255).astype(np.uint8)
        return Image.fromarray(noisy)

    def _area(
        self,
        draw: ImageDraw.ImageDraw,
        ahead: Point,
        left: Point,
        colour: tuple[int, ...],
        eye_y: float = 0.0,
    ) -> None:
        near, far = max(ahead[0], _NEAREST_M), max(ahead[1], _NEAREST_M)
        corners = [(near, left[0]), (near, left[1]), (far, left[1]), (far, left[0])]
        draw.polygon([self._place(distance, side - eye_y, 0.0) for distance, side in corners], fill=colour)

    def _draw_paint(self, draw: ImageDraw.ImageDraw, eye_x: float, eye_y: float) -> None:
        for edge in (-LANE_M / 2 - 0.35, 1.5 * LANE_M + 0.35):
            self._area(draw, (_NEAREST_M, 200.0), (edge, edge + 0.15), self.palette.paint, eye_y)
        first = np.floor(eye_x / 8.0) * 8.0
        for start in np.arange(first, eye_x + 64.0, 8.0).tolist():
            ahead = (start - eye_x, start + 3.2 - eye_x)
            if ahead[1] > _NEAREST_M:
                self._area(draw, ahead, (LANE_M / 2 - 0.08, LANE_M / 2 + 0.08), self.palette.paint, eye_y)

    def _draw_post(self, draw: ImageDraw.ImageDraw, distance: float, eye_y: float) -> None:
        for left in (-LANE_M / 2 - 3.8, 1.5 * LANE_M + 4.6):
            foot, top = self._place(distance, left - eye_y, 0.0), self._place(distance, left - eye_y, 5.0)
            thick = max(1, round(self._focal * 0.16 / distance))
            draw.line([foot, top], fill=self.palette.shade((88, 76, 62)), width=thick)
            if self.palette.light < 1:
                draw.ellipse(
                    (top[0] - thick, top[1] - thick, top[0] + thick, top[1] + thick), fill=HEAD_LIGHT
                )

    def _draw_body(
        self, draw: ImageDraw.ImageDraw, track: Track, index: int, eye_x: float, eye_y: float
    ) -> None:
        ground = track.footprint()[index] - [eye_x, eye_y]
        if ground[:, 0].max() < _NEAREST_M or ground[:, 0].min() > _FARTHEST_M:
            return
        if track.kind in ("pedestrian", "cyclist"):
            self._draw_person(draw, track, ground)
            return
        height = track.shape.height
        corners = ("front", "right", "rear", "left")
        sides = [(corners[k], ground[k], ground[(k + 1) % 4]) for k in range(4)]
        for name, a, b in sorted(sides, key=lambda side: -float(np.hypot(*(side[1] + side[2])))):
            if a[0] * b[1] - a[1] * b[0] <= 0:  # the far side of the box: seen from inside
                continue
            self._draw_side(draw, track, name, a, b, height, bool(track.braking[index]))

    def _draw_side(
        self,
        draw: ImageDraw.ImageDraw,
        track: Track,
        name: str,
        a: Floats,
        b: Floats,
        height: float,
        braking: bool,
    ) -> None:
        def patch(start: float, end: float, low: float, high: float, colour: Colour) -> None:
            p, q = a + (b - a) * start, a + (b - a) * end
            points = [(p, low), (q, low), (q, high), (p, high)]
            draw.polygon([self._place(float(c[0]), float(c[1]), z * height) for c, z in points], fill=colour)

        flat = name in ("front", "rear")
        patch(0.0, 1.0, 0.12, 1.0, self.palette.body(track.kind, track.colour, 1.0 if flat else 0.72))
        patch(0.0, 1.0, 0.0, 0.12, (12, 12, 14))
        if track.kind == "car" or name == "front":
            patch(0.1, 0.9, 0.62, 0.93, self.palette.shade(GLASS))
        lamp = HEAD_LIGHT if name == "front" else BRAKE_LIGHT if braking else TAIL_LIGHT
        if flat:
            patch(0.04, 0.24, 0.34, 0.52, lamp)
            patch(0.76, 0.96, 0.34, 0.52, lamp)

    def _draw_person(self, draw: ImageDraw.ImageDraw, track: Track, ground: Floats) -> None:
        distance, left = (float(part) for part in ground.mean(axis=0))
        reach = float(np.ptp(ground[:, 1])) / 2
        scale = self._focal / max(distance, _NEAREST_M)
        foot, head = self._place(distance, left, 0.0), self._place(distance, left, track.shape.height)
        paint = self.palette.body(track.kind, track.colour)
        if track.kind == "cyclist":
            wheel = 0.33 * scale
            for x in {foot[0] - reach * scale * 0.7, foot[0] + reach * scale * 0.7}:
                flat = max(wheel * min(1.0, reach / 0.9), 1.0)
                box = (x - flat, foot[1] - 2 * wheel, x + flat, foot[1])
                draw.ellipse(box, outline=(16, 16, 18), width=max(1, round(scale * 0.06)))
        half = 0.22 * scale
        legs = foot[1] - (foot[1] - head[1]) * 0.45
        if track.kind == "pedestrian":
            draw.rectangle((foot[0] - half * 0.7, legs, foot[0] + half * 0.7, foot[1]), fill=(36, 38, 52))
        draw.rectangle(
            (foot[0] - half, head[1] + 0.25 * scale, foot[0] + half, max(legs, head[1] + 0.3 * scale)),
            fill=paint,
        )
        size = 0.13 * scale
        draw.ellipse(
            (head[0] - size, head[1], head[0] + size, head[1] + 2 * size), fill=self.palette.shade(SKIN)
        )
