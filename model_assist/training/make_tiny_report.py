"""The numbers of docs/tiny-model.md and its learning curve, from the shipped model's manifest:

    python -m model_assist.training.make_tiny_report

Replaces what lies between the page's markers, and draws docs/images/tiny-model-curve.svg.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from model_assist.training.make_tiny import MANIFEST, SHIPPED

PAGE: Final = Path("docs/tiny-model.md")
CURVE: Final = Path("docs/images/tiny-model-curve.svg")

ROWS: Final[Mapping[str, tuple[str, str]]] = {
    "f1": ("recognition, F1", "≥ 0.9"),
    "precision": ("recognition, precision", ""),
    "recall": ("recognition, recall", ""),
    "near_miss_accuracy": ("near misses taken for what they are", ""),
    "span_miou": ("crash span, mean IoU", "≥ 0.4"),
    "span_ap50": ("crash span, share with IoU ≥ 0.5", ""),
    "description": ("description, exact match, all clips", "≥ 0.5"),
    "description_crash": ("description, exact match, clips with a crash", ""),
    "onset": ("onset, CrashChat's score", ""),
    "onset_error_s": ("onset, mean absolute error, s", ""),
    "cause": ("cause: a sentence that fits this crash", ""),
}
LINES: Final = {
    "f1": ("recognition F1", "#1b6ca8"),
    "span_miou": ("crash-span mIoU", "#b3541e"),
    "description_crash": ("description exact (crashes)", "#3c7a3c"),
    "onset": ("onset score", "#7a3c7a"),
}
"""Name and colour of each line of the learning curve."""


def tables(manifest: Mapping[str, Any]) -> str:
    """The result table, the table by view and the learning curve's table, as Markdown."""
    found = manifest["held_out"]
    model, alone, blind, views = (found[name] for name in ("model", "base_alone", "baseline", "by_view"))
    lines = [
        f"Seed {found['seed']}, {model['clips']} clips, {model['crashes']} of them with a crash:",
        "",
        "| | goal | as shipped | base without adapters | looking at nothing |",
        "|---|---|---|---|---|",
    ]
    for name, (words, goal) in ROWS.items():
        lines.append(f"| {words} | {goal} | {model[name]:.3f} | {alone[name]:.3f} | {blind[name]:.3f} |")
    lines += ["", f"| as shipped | {' | '.join(views)} |", "|---|" + "---|" * len(views)]
    for name in ("f1", "span_miou", "description_crash", "onset"):
        values = " | ".join(f"{view[name]:.3f}" for view in views.values())
        lines.append(f"| {ROWS[name][0]} | {values} |")
    curve = manifest["training"]["curve"]
    lines += [
        "",
        "| steps | clips seen | loss of answers | " + " | ".join(w for w, _ in LINES.values()) + " |",
    ]
    lines.append("|---|---|---|" + "---|" * len(LINES))
    for point in curve:
        values = " | ".join(f"{point[name]:.3f}" for name in LINES)
        lines.append(f"| {point['step']} | {point['seen']} | {point['loss_answers']:.3f} | {values} |")
    return "\n".join(lines)


def draw_curve(curve: Sequence[Mapping[str, float]]) -> str:
    """The learning curve as SVG: scores (0 to 1) over the clips seen."""
    width, height, left, top = 640, 340, 46, 16
    inner_w, inner_h = width - left - 16, height - top - 76
    last = max(point["seen"] for point in curve)

    def x(seen: float) -> float:
        return left + inner_w * seen / last

    def y(score: float) -> float:
        return top + inner_h * (1 - score)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="Scores on validation clips over the clips seen in training">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<path d="M{left} {y(tick):.1f}H{left + inner_w}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for share in (0.0, 0.5, 1.0):
        parts.append(
            f'<text x="{x(last * share):.1f}" y="{top + inner_h + 18}" text-anchor="middle">{last * share:.0f}</text>'
        )
    parts.append(
        f'<text x="{left + inner_w / 2}" y="{top + inner_h + 36}" text-anchor="middle">clips seen</text>'
    )
    for number, (name, (words, colour)) in enumerate(LINES.items()):
        points = " ".join(f"{x(p['seen']):.1f},{y(p[name]):.1f}" for p in curve)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place = left + number * inner_w / len(LINES)
        parts.append(f'<path d="M{place:.0f} {height - 16}h16" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{place + 20:.0f}" y="{height - 12}" font-size="11">{words}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def fill(page: str, text: str) -> str:
    """The page with `text` between its markers; ValueError for a page without them."""
    pattern = re.compile(r"(<!-- numbers -->\n).*(<!-- end of numbers -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError("the page has no markers for the numbers")
    return pattern.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page)


def main(arguments: list[str] | None = None) -> int:
    """Write the shipped model's numbers into the docs."""
    parser = argparse.ArgumentParser(
        prog="python -m model_assist.training.make_tiny_report", description=main.__doc__
    )
    parser.add_argument("--model", type=Path, default=SHIPPED)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--curve", type=Path, default=CURVE)
    options = parser.parse_args(arguments)
    manifest = json.loads((options.model / MANIFEST).read_text(encoding="utf-8"))
    page = options.page.read_text(encoding="utf-8")
    options.page.write_text(fill(page, tables(manifest)), encoding="utf-8")
    options.curve.write_text(draw_curve(manifest["training"]["curve"]), encoding="utf-8")
    print(f"wrote {options.page} and {options.curve}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
