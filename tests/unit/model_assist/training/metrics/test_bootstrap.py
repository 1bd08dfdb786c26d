import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_assist.training.metrics import bootstrap as module
from model_assist.training.metrics.bootstrap import Bootstrap, measured, weighted_median
from model_assist.training.metrics.pairs import Floats, Units


def mean_of(values: Floats) -> module.Measure:
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    """400 draws of 0 or 1, half each: standard error 0.5 / 20 = 0.025, so 0.5 -+ 1.96 * 0.025 = 0.451 to 0.549."""
    values = np.repeat([0.0, 1.0], 200)
    found = Bootstrap(resamples=4000).intervals(mean_of(values), np.arange(400), "clips")
    assert found["mean"] == pytest.approx([0.451, 0.549], abs=0.006)


def test_clips_of_one_recording_count_as_one() -> None:
    """The same values in 20 recordings of 20 equal clips: as wide as 20 clips, sqrt(20) times wider than 400."""
    values = np.repeat([0.0, 1.0], 200)
    wide = Bootstrap(resamples=4000).intervals(mean_of(values), np.repeat(np.arange(20), 20), "recordings")
    assert wide["mean"] == pytest.approx([0.5 - 1.96 * 0.5 / 20**0.5, 0.5 + 1.96 * 0.5 / 20**0.5], abs=0.05)
    assert "20 recordings" in wide["how"]


def test_the_same_seed_gives_the_same_interval_however_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(50.0)
    whole = Bootstrap(resamples=300, seed=7).intervals(mean_of(values), np.arange(50), "clips")
    monkeypatch.setattr(module, "_CELLS", 50 * 64)
    assert Bootstrap(resamples=300, seed=7).intervals(mean_of(values), np.arange(50), "clips") == whole
    assert Bootstrap(resamples=300, seed=8).intervals(mean_of(values), np.arange(50), "clips") != whole


def test_one_unit_says_nothing() -> None:
    assert Bootstrap().intervals(mean_of(np.ones(3)), np.zeros(3, dtype=np.int64), "recordings") == {}
    assert Bootstrap().intervals(mean_of(np.ones(0)), np.arange(0), "clips") == {}


@pytest.mark.parametrize("wrong", [{"resamples": 0}, {"level": 1.0}, {"level": 0.0}])
def test_impossible_plans_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="resamples must be positive"):
        Bootstrap(**wrong)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 4)), min_size=1, max_size=12),
)
def test_weighted_medians_are_numpy_s_medians_of_the_repeated_values(rows: list[tuple[float, int]]) -> None:
    values, weights = np.array([v for v, _ in rows]), np.array([[float(w) for _, w in rows]])
    repeated = np.repeat(values, weights[0].astype(int))
    expected = np.median(repeated) if len(repeated) else 0.0
    assert weighted_median(values, weights)[0] == pytest.approx(expected)


def test_no_values_have_no_median() -> None:
    assert weighted_median(np.array([]), np.ones((3, 0))).tolist() == [0.0, 0.0, 0.0]


def test_measured_counts_every_clip_once() -> None:
    assert measured(mean_of(np.array([1.0, 2.0, 6.0])), 3) == {"mean": 3.0}


def test_units_are_numbered_without_gaps() -> None:
    units = Units(["b", "a", "b", "c"])
    assert (units.name, units.of([0, 2, 3]).tolist()) == ("recordings", [0, 0, 1])
    assert (Units(None).name, Units(None).of([4, 9]).tolist()) == ("clips", [0, 1])
    assert units.of([]).tolist() == []
