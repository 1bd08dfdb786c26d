from xml.etree import ElementTree

import pytest

from frontend.plots import HEIGHT, WIDTH, Bar, Point, Row, curve, histogram, stacked, trend


def parts(svg: str, name: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter(name))


def test_a_histogram_tells_every_bar_and_itself() -> None:
    drawn = histogram(
        [Bar("1 s", 4), Bar("2 s", 0), Bar("3 s", 8, marked=True)], words="how long", low="1 s", high="3 s"
    )
    assert ElementTree.fromstring(drawn).attrib["aria-label"] == "how long"
    bars = parts(drawn, "rect")
    assert [bar[0].text for bar in bars] == ["1 s: 4", "2 s: 0", "3 s: 8"]
    heights = [float(bar.attrib["height"]) for bar in bars]
    assert heights[0] == pytest.approx(heights[2] / 2)
    assert heights[1] == 0
    assert ["marked" in bar.attrib["class"] for bar in bars] == [False, False, True]
    assert all(0 <= float(bar.attrib["x"]) < WIDTH for bar in bars)
    assert [text.text for text in parts(drawn, "text")] == ["1 s", "3 s"]


def test_a_curve_reaches_from_nothing_to_the_end() -> None:
    (line,) = parts(curve([(1, 5), (2, 10)], words="grows"), "polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert points[0][0] == 0
    assert points[-1] == (WIDTH, 0)
    assert all(0 <= y <= HEIGHT for _, y in points)


def test_stacked_bars_are_as_long_as_their_parts() -> None:
    drawn = stacked(
        [Row("A", [("yes", 30), ("no", 10)]), Row("B", [("yes", 0), ("no", 20)])], words="by source"
    )
    bars = parts(drawn, "rect")
    assert [bar[0].text for bar in bars] == ["A, yes: 30", "A, no: 10", "B, no: 20"]
    assert float(bars[0].attrib["width"]) > 2 * float(bars[1].attrib["width"])


def test_a_trend_has_a_dot_and_an_interval_for_every_number_and_gaps_between() -> None:
    points = [Point("May: 0.5", 0.5, 0.25, 0.75), Point("June: none", None), Point("July: 1", 1.0)]
    drawn = trend(points, words="over time", low="May", high="July")
    dots = parts(drawn, "circle")
    assert [dot[0].text for dot in dots] == ["May: 0.5", "July: 1"]
    assert float(dots[1].attrib["cx"]) > WIDTH / 2 > float(dots[0].attrib["cx"])
    assert float(dots[1].attrib["cy"]) < float(dots[0].attrib["cy"]), "more is further up"
    (whisker,) = [line for line in parts(drawn, "line") if line.attrib["class"] == "plot__whisker"]
    assert float(whisker.attrib["y1"]) > float(dots[0].attrib["cy"]) > float(whisker.attrib["y2"])
    assert all(
        0 <= float(dot.attrib["cy"]) <= HEIGHT for dot in parts(trend([Point("x", 9.0)], words=""), "circle")
    )


def test_names_from_outside_stay_text() -> None:
    nasty = '<script>alert(1)</script>"'
    for drawn in (
        histogram([Bar(nasty, 1)], words=nasty, low=nasty),
        stacked([Row(nasty, [(nasty, 1)])], words=nasty),
        trend([Point(nasty, 0.5)], words=nasty, low=nasty),
    ):
        assert "<script" not in drawn
        ElementTree.fromstring(drawn)


def test_nothing_to_draw_is_nothing() -> None:
    assert histogram([], words="") == curve([], words="") == stacked([], words="") == ""
    assert stacked([Row("A", [("yes", 0)])], words="") == trend([Point("A", None)], words="") == ""
