"""A drone's view from straight above: fixed camera, road and junction, rotated outlines."""

import math
import random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from annotations.corpora.demo.motion import Track
from annotations.corpora.demo.palette import BRAKE_LIGHT, GLASS, HEAD_LIGHT, SKIN, Palette
from annotations.corpora.demo.scenarios import LANE_M

Pixels = npt.NDArray[np.uint8]
Point = tuple[float, float]

_PIXELS_PER_M = 5.0


class TopDown:
    """Draws frames of one recording. `junction`: a road crosses at the middle."""

    def __init__(
        self, size: tuple[int, int], palette: Palette, rng: random.Random, *, junction: bool
    ) -> None:
        self.size = size
        self.palette = palette
        self._angle = rng.choice([0.0, math.pi]) + rng.uniform(-0.12, 0.12)
        self._centre = (rng.uniform(-9.0, -5.0), rng.uniform(0.5, 2.5))
        self._background = self._draw_background(rng, junction)

    def frame(self, tracks: tuple[Track, ...], index: int) -> Pixels:
        """Frame `index` as RGB uint8 [height, width, 3]."""
        image = self._background.copy()
        draw = ImageDraw.Draw(image)
        for track in tracks:
            self._draw_body(draw, track, index)
        return np.asarray(image)

    def outlines(self, tracks: tuple[Track, ...], index: int) -> list[tuple[int, list[Point]]]:
        """Where each road user lies in the picture: (position in `tracks`, corners in pixels)."""
        return [
            (n, [self._place(x, y) for x, y in t.footprint()[index].tolist()]) for n, t in enumerate(tracks)
        ]

    def _place(self, x: float, y: float) -> Point:
        dx, dy = x - self._centre[0], y - self._centre[1]
        cos, sin = math.cos(self._angle), math.sin(self._angle)
        across, up = cos * dx - sin * dy, sin * dx + cos * dy
        return self.size[0] / 2 + _PIXELS_PER_M * across, self.size[1] / 2 - _PIXELS_PER_M * up

    def _area(self, draw: ImageDraw.ImageDraw, x: Point, y: Point, colour: tuple[int, int, int]) -> None:
        corners = [
            self._place(x[0], y[0]),
            self._place(x[1], y[0]),
            self._place(x[1], y[1]),
            self._place(x[0], y[1]),
        ]
        draw.polygon(corners, fill=colour)

    def _draw_background(self, rng: random.Random, junction: bool) -> Image.Image:
        palette = self.palette
        image = Image.new("RGB", self.size, palette.ground)
        draw = ImageDraw.Draw(image)
        for _ in range(26):
            x, y = rng.uniform(-60, 45), rng.choice([rng.uniform(11, 30), rng.uniform(-28, -8)])
            centre, radius = self._place(x, y), rng.uniform(4, 11)
            box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
            draw.ellipse(box, fill=palette.shade((66, 104 + rng.randrange(30), 58)))
        low, high = -LANE_M / 2 - 0.6, 1.5 * LANE_M + 3.6
        self._area(draw, (-90, 90), (low - 2.6, low), palette.shade((150, 146, 138)))
        if junction:
            self._area(draw, (-5.5, 6.5), (-60, 60), palette.asphalt)
        self._area(draw, (-90, 90), (low, high), palette.asphalt)
        for edge in (low + 0.25, 1.5 * LANE_M + 0.35):
            self._area(draw, (-90, 90), (edge, edge + 0.18), palette.paint)
        for start in range(-88, 88, 8):
            if not (junction and -8 < start < 7):
                self._area(draw, (start, start + 3.2), (LANE_M / 2 - 0.09, LANE_M / 2 + 0.09), palette.paint)
        if junction:
            for stripe in np.arange(low + 0.6, 1.5 * LANE_M, 1.0):
                self._area(draw, (-9.0, -6.6), (float(stripe), float(stripe) + 0.5), palette.paint)
        grain = np.random.default_rng(rng.randrange(2**32)).integers(-5, 6, (*self.size[::-1], 1))
        noisy = np.clip(np.asarray(image).astype(np.int16) + grain, 0, 255).astype(np.uint8)
        return Image.fromarray(noisy)

    def _draw_body(self, draw: ImageDraw.ImageDraw, track: Track, index: int) -> None:
        x, y, heading = float(track.x[index]), float(track.y[index]), float(track.heading[index])
        cos, sin = math.cos(heading), math.sin(heading)
        length, width = track.shape.length, track.shape.width

        def part(front: float, rear: float, share: float = 1.0) -> list[Point]:
            half = width * share / 2
            corners = [(front, half), (front, -half), (rear, -half), (rear, half)]
            return [self._place(x + cos * a - sin * b, y + sin * a + cos * b) for a, b in corners]

        paint = self.palette.body(track.kind, track.colour)
        if track.kind in ("pedestrian", "cyclist"):
            draw.polygon(
                part(length / 2 + 0.1, -length / 2 - 0.1, 0.5 if track.kind == "cyclist" else 1.3), fill=paint
            )
            centre = self._place(x, y)
            draw.ellipse(
                (centre[0] - 2, centre[1] - 2, centre[0] + 2, centre[1] + 2), fill=self.palette.shade(SKIN)
            )
            return
        draw.polygon(part(length / 2, -length / 2), fill=paint)
        if track.kind == "truck":
            draw.polygon(
                part(length / 2, length / 2 - 1.9), fill=self.palette.body("car", track.colour + 3, 0.8)
            )
        else:
            draw.polygon(part(length * 0.2, length * 0.02, 0.85), fill=self.palette.shade(GLASS))
            draw.polygon(part(-length * 0.28, -length * 0.38, 0.8), fill=self.palette.shade(GLASS))
        if self.palette.light < 1:
            draw.polygon(part(length / 2 + 0.5, length / 2, 0.8), fill=HEAD_LIGHT)
        if bool(track.braking[index]):
            draw.polygon(part(-length / 2 + 0.1, -length / 2 - 0.45), fill=BRAKE_LIGHT)
