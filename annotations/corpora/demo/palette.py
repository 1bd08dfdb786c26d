"""Colours of a recording by day and by night. RGB, 0..255."""

from dataclasses import dataclass

Colour = tuple[int, int, int]

_BODIES: tuple[Colour, ...] = (
    (176, 42, 38),
    (38, 72, 150),
    (226, 226, 222),
    (60, 62, 66),
    (196, 160, 52),
    (52, 118, 78),
    (150, 154, 160),
    (112, 52, 120),
)
_CLOTHES: tuple[Colour, ...] = ((208, 92, 40), (40, 140, 170), (220, 200, 70), (170, 60, 120), (90, 170, 90))


@dataclass(frozen=True)
class Palette:
    """Surfaces of a scene, and how bright everything else is (`light`, 0..1)."""

    sky: Colour
    far: Colour
    ground: Colour
    asphalt: Colour
    paint: Colour
    light: float

    def shade(self, colour: Colour, factor: float = 1.0) -> Colour:
        """`colour` under this light."""
        red, green, blue = (max(0, min(255, round(part * factor * self.light))) for part in colour)
        return red, green, blue

    def body(self, kind: str, number: int, factor: float = 1.0) -> Colour:
        """Paint or clothes of the `number`-th road user of a kind."""
        table = _CLOTHES if kind in ("pedestrian", "cyclist") else _BODIES
        # Headlights and street lamps: road users stand out at night.
        lit = max(self.light, 0.85) / self.light
        return self.shade(table[number % len(table)], factor * lit)


DAY = Palette(
    sky=(158, 192, 226),
    far=(122, 140, 132),
    ground=(104, 128, 82),
    asphalt=(92, 94, 98),
    paint=(228, 228, 220),
    light=1.0,
)
NIGHT = Palette(
    sky=(14, 18, 34),
    far=(24, 28, 40),
    ground=(20, 28, 24),
    asphalt=(40, 42, 48),
    paint=(140, 140, 132),
    light=0.62,
)

BRAKE_LIGHT: Colour = (255, 40, 30)
TAIL_LIGHT: Colour = (120, 20, 18)
HEAD_LIGHT: Colour = (255, 248, 210)
GLASS: Colour = (52, 64, 78)
SKIN: Colour = (214, 172, 142)
