"""Loss curves and metrics as the first page shows them."""

from hypothesis import given
from hypothesis import strategies as st

from frontend.records import HEIGHT, WIDTH, curves, measures

POINTS = st.lists(
    st.fixed_dictionaries(
        {
            "adapter": st.sampled_from(["linguistic", "perception"]),
            "step": st.integers(0, 10_000),
            "loss": st.floats(0, 1e6, allow_nan=False),
        }
    )
)


@given(POINTS)
def test_curves_stay_inside_their_picture(points: list[dict[str, object]]) -> None:
    for curve in curves(points):
        for pair in curve.points.split():
            x, y = (float(part) for part in pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT


def test_a_falling_loss_goes_down_the_picture() -> None:
    (curve,) = curves([{"adapter": "a", "step": 0, "loss": 2.0}, {"adapter": "a", "step": 10, "loss": 1.0}])
    assert curve.points == "2.0,2.0 158.0,34.0"
    assert (curve.first, curve.last) == (2.0, 1.0)


def test_nested_metrics_are_named_by_their_path() -> None:
    found = list(measures({"crash_localization": {"miou": 0.5, "note": "x", "ap": {"30": 1}}, "ok": True}))
    assert [(m.name, m.value) for m in found] == [
        ("crash localization miou", 0.5),
        ("crash localization ap 30", 1.0),
    ]
