"""The docs' numbers come from the manifest."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from model_assist.training.make_tiny import MANIFEST, SHIPPED
from model_assist.training.make_tiny_report import CURVE, LINES, PAGE, ROWS, draw_curve, fill, main, tables

REPOSITORY = SHIPPED.parents[1]


def made_up() -> dict[str, Any]:
    row = {name: 0.5 + number / 100 for number, name in enumerate(ROWS)}
    row |= {"clips": 9, "crashes": 4}
    curve = [
        {"step": step, "seen": step * 4, "loss_answers": 1 / step, **dict.fromkeys(LINES, step / 400)}
        for step in (100, 200, 300)
    ]
    held = {"seed": 1, "model": row, "base_alone": row, "baseline": row, "by_view": {"dashcam": row}}
    return {"held_out": held, "training": {"curve": curve}}


def test_the_page_is_filled_between_its_markers(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(made_up()))
    page, curve = tmp_path / "page.md", tmp_path / "curve.svg"
    page.write_text("before\n<!-- numbers -->\nold\n<!-- end of numbers -->\nafter\n")
    assert main(["--model", str(tmp_path), "--page", str(page), "--curve", str(curve)]) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- numbers -->\n")
    assert text.endswith("\n<!-- end of numbers -->\nafter\n")
    assert "old" not in text
    assert "| recognition, F1 | ≥ 0.9 | 0.500 | 0.500 | 0.500 |" in text
    assert "| 300 | 1200 | 0.003 |" in text
    with pytest.raises(ValueError, match="markers"):
        fill("nothing", "text")


def test_the_curve_is_a_picture_of_its_points() -> None:
    drawn = ElementTree.fromstring(draw_curve(made_up()["training"]["curve"]))
    lines = [e for e in drawn.iter() if e.tag.endswith("polyline")]
    assert len(lines) == len(LINES)
    points = [tuple(map(float, p.split(","))) for p in lines[0].attrib["points"].split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted((y for _, y in points), reverse=True)


def test_the_docs_are_up_to_date() -> None:
    manifest = json.loads((SHIPPED / MANIFEST).read_text())
    page = (REPOSITORY / PAGE).read_text()
    assert fill(page, tables(manifest)) == page
    assert draw_curve(manifest["training"]["curve"]) == (REPOSITORY / CURVE).read_text()
