"""The audit of an auto-approval policy over time as inline SVG; every plot is told in words as well."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

WIDTH, HEIGHT, LEFT, FOOT, TOP = 760, 260, 52, 22, 14
ROOM: Final = 1.6
"""The limit lies at 1 / ROOM of the height, unless something reaches higher."""


def over_time(series: Sequence[Mapping[str, Any]], *, limit: float, words: str) -> SafeString:
    """The error rate and both upper bounds after each audited case, and the limit as a dashed line.

    series: {"cases", "rate" (or None), "upper", "upper_fixed"} in order; rates 0 to 1. Nothing for an empty one.
    """
    if not series:
        return SafeString("")
    last = max(int(series[-1]["cases"]), 1)
    highest = min(1.0, max(limit * ROOM, 1.05 * max(float(one["upper"]) for one in series)))

    def x(cases: float) -> float:
        return LEFT + (WIDTH - LEFT - 4) * cases / last

    def y(rate: float) -> float:
        return TOP + (HEIGHT - TOP - FOOT) * (1 - min(rate, highest) / highest)

    def line(name: str) -> str:
        held = [one for one in series if one[name] is not None]
        if len(held) == 1:
            held = [held[0], {**held[0], "cases": last}]
        return " ".join(f"{x(one['cases']):.1f},{y(float(one[name])):.1f}" for one in held)

    return format_html(
        '<svg class="plot plot--policy" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<line class="plot__axis" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<polyline class="plot__fixed" points="{}"><title>Clopper-Pearson upper bound</title></polyline>'
        '<polyline class="plot__upper" points="{}"><title>upper bound that holds at all times</title></polyline>'
        '<polyline class="plot__rate" points="{}"><title>share wrong</title></polyline>'
        '<line class="plot__limit" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text class="plot__text" x="{}" y="{}" text-anchor="end">{}</text>'
        '<text class="plot__text" x="{}" y="{}" text-anchor="end">0</text>'
        '<text class="plot__text" x="{}" y="{}">start</text>'
        '<text class="plot__text" x="{}" y="{}" text-anchor="end">{} audited</text></svg>',
        WIDTH, HEIGHT, words,
        LEFT, WIDTH, HEIGHT - FOOT, HEIGHT - FOOT,
        line("upper_fixed"), line("upper"), line("rate"),
        LEFT, WIDTH, f"{y(limit):.1f}", f"{y(limit):.1f}",
        LEFT - 6, f"{y(limit) + 4:.1f}", f"{limit:.1%}",
        LEFT - 6, HEIGHT - FOOT + 4,
        LEFT, HEIGHT - 5, WIDTH - 4, HEIGHT - 5, f"{int(series[-1]['cases']):,}",
    )  # fmt: skip
