"""Small plots as inline SVG. Colours come from the style sheet; every plot is told in words as well."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT, FOOT = 640, 150, 18


@dataclass(frozen=True)
class Bar:
    """A bar of a histogram. `label`: its value in words; `marked`: drawn to stand out."""

    label: str
    count: float
    marked: bool = False


def histogram(bars: Sequence[Bar], *, words: str, low: str = "", high: str = "") -> SafeString:
    """Upright bars from left to right, each telling its count when pointed at. `low`, `high`: the ends of the axis."""
    if not bars:
        return SafeString("")
    tallest = max(bar.count for bar in bars) or 1
    room, width = HEIGHT - FOOT, WIDTH / len(bars)
    drawn = format_html_join(
        "",
        '<rect class="plot__bar{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>',
        (
            (
                " plot__bar--marked" if bar.marked else "",
                f"{place * width:.2f}",
                f"{room - height:.2f}",
                f"{max(width - 1, 0.6):.2f}",
                f"{height:.2f}",
                bar.label,
                f"{bar.count:,.0f}",
            )
            for place, bar in enumerate(bars)
            for height in [max(room * bar.count / tallest, 1.0) if bar.count else 0.0]
        ),
    )
    axis = format_html(
        '<text class="plot__text" x="0" y="{}">{}</text>'
        '<text class="plot__text" x="{}" y="{}" text-anchor="end">{}</text>',
        HEIGHT - 4, low, WIDTH, HEIGHT - 4, high,
    )  # fmt: skip
    return _frame(drawn + axis, HEIGHT, words)


def curve(points: Sequence[tuple[float, float]], *, words: str, low: str = "", high: str = "") -> SafeString:
    """A line through points that begins at nothing; both axes reach from 0 to the largest value."""
    if not points:
        return SafeString("")
    right, top = max(x for x, _ in points) or 1, max(y for _, y in points) or 1
    room = HEIGHT - FOOT
    line = " ".join(f"{WIDTH * x / right:.1f},{room - room * y / top:.1f}" for x, y in [(0.0, 0.0), *points])
    drawn = format_html(
        '<polygon class="plot__area" points="{} {},{}"/><polyline class="plot__line" points="{}"/>'
        '<text class="plot__text" x="0" y="{}">{}</text>'
        '<text class="plot__text" x="{}" y="{}" text-anchor="end">{}</text>',
        line, WIDTH, room, line, HEIGHT - 4, low, WIDTH, HEIGHT - 4, high,
    )  # fmt: skip
    return _frame(drawn, HEIGHT, words)


@dataclass(frozen=True)
class Row:
    """A lying bar made of parts, in the order of their names."""

    label: str
    parts: Sequence[tuple[str, int]]

    @property
    def total(self) -> int:
        return sum(count for _, count in self.parts)


def stacked(rows: Sequence[Row], *, words: str) -> SafeString:
    """Lying bars below each other, as long as their totals, with each part's count when pointed at."""
    longest = max((row.total for row in rows), default=0)
    if not longest:
        return SafeString("")
    step, label, number = 24, 190, 70
    room = WIDTH - label - number
    drawn = []
    for place, row in enumerate(rows):
        x, y = float(label), place * step + 4
        drawn.append(
            format_html(
                '<text class="plot__text" x="{}" y="{}" text-anchor="end">{}<title>{}</title></text>',
                label - 8, y + 12, row.label if len(row.label) <= 26 else f"{row.label[:25]}…", row.label,
            )
        )  # fmt: skip
        for part, (name, count) in enumerate(row.parts):
            width = room * count / longest
            if count:
                drawn.append(
                    format_html(
                        '<rect class="plot__part plot__part--{}" x="{}" y="{}" width="{}" height="16">'
                        "<title>{}, {}: {}</title></rect>",
                        part, f"{x:.2f}", y, f"{max(width - 1, 0.8):.2f}", row.label, name, f"{count:,}",
                    )
                )  # fmt: skip
            x += width
        drawn.append(
            format_html('<text class="plot__text" x="{}" y="{}">{}</text>', f"{x + 6:.1f}", y + 12, f"{row.total:,}")
        )  # fmt: skip
    return _frame(format_html_join("", "{}", ((part,) for part in drawn)), len(rows) * step + 8, words)


def _frame(inside: SafeString, height: int, words: str) -> SafeString:
    return format_html(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>',
        WIDTH,
        height,
        words,
        inside,
    )


@dataclass(frozen=True)
class Point:
    """A number over time with its interval, between 0 and 1; None where there is none. `label`: its time and value."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None


def trend(points: Sequence[Point], *, words: str, low: str = "", high: str = "") -> SafeString:
    """Dots from left to right with their intervals as upright lines; a missing number leaves a gap. From 0 to 1."""
    if not any(point.value is not None for point in points):
        return SafeString("")
    room, step = HEIGHT - FOOT - 8, WIDTH / len(points)

    def y(value: float) -> str:
        return f"{4 + room * (1 - min(max(value, 0.0), 1.0)):.1f}"

    drawn = [
        format_html('<line class="plot__grid" x1="0" x2="{}" y1="{}" y2="{}"/>', WIDTH, y(level), y(level))
        for level in (0.0, 0.5, 1.0)
    ]
    for place, point in enumerate(points):
        if point.value is None:
            continue
        x = f"{(place + 0.5) * step:.1f}"
        if point.low is not None and point.high is not None:
            drawn.append(
                format_html(
                    '<line class="plot__whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>', x, x, y(point.low), y(point.high)
                )
            )  # fmt: skip
        drawn.append(
            format_html(
                '<circle class="plot__dot" cx="{}" cy="{}" r="4"><title>{}</title></circle>',
                x, y(point.value), point.label,
            )
        )  # fmt: skip
    drawn.append(
        format_html(
            '<text class="plot__text" x="0" y="{}">{}</text>'
            '<text class="plot__text" x="{}" y="{}" text-anchor="end">{}</text>',
            HEIGHT - 4, low, WIDTH, HEIGHT - 4, high,
        )
    )  # fmt: skip
    return _frame(format_html_join("", "{}", ((part,) for part in drawn)), HEIGHT, words)
