"""Krippendorff's alpha against its author's worked examples, and against what its definition implies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.statistics import alpha
from annotations.statistics.alpha import krippendorff
from annotations.statistics.times import overlap_distance


def table(*observers: str) -> tuple[np.ndarray, np.ndarray]:
    """Units and values of rows like 'a . b': one row an observer, one column a unit, '.' for no value."""
    words = [row.split() for row in observers]
    given = [(unit, value) for row in words for unit, value in enumerate(row) if value != "."]
    codes = {value: float(ord(value)) for _, value in given}
    return np.array([unit for unit, _ in given]), np.array([codes[value] for _, value in given])


# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), sections A to D.
BINARY = ("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0")
NOMINAL = ("a a b b d c c c e d d a", "b a b b b c c c e d d d")
FOUR = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


@pytest.mark.parametrize(
    ("observers", "distance", "published"),
    [
        (BINARY, alpha.nominal, 0.095),
        (NOMINAL, alpha.nominal, 0.692),
        (FOUR, alpha.nominal, 0.743),
        (FOUR, alpha.interval, 0.849),
    ],
)
def test_worked_examples_of_its_author(
    observers: tuple[str, ...], distance: alpha.Distance, published: float
) -> None:
    assert krippendorff(*table(*observers), distance) == pytest.approx(published, abs=0.0005)


def test_the_ordinal_example_by_a_distance_of_ones_own() -> None:
    """Krippendorff 2011, section D: ordinal 0.815. Its distance depends on how often each value occurs."""
    units, values = table(*FOUR)
    sizes = np.bincount(units)
    ranks, counts = np.unique(values[sizes[units] > 1], return_counts=True)
    middle = counts.cumsum() - counts / 2

    def ordinal(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.square(middle[np.searchsorted(ranks, first)] - middle[np.searchsorted(ranks, second)])

    kept = sizes[units] > 1
    assert krippendorff(units[kept], values[kept], ordinal) == pytest.approx(0.815, abs=0.0005)


def test_a_unit_with_one_value_is_left_out() -> None:
    units, values = table(*FOUR)
    more = krippendorff(np.append(units, 99), np.append(values, 3.0), alpha.interval)
    assert more == pytest.approx(krippendorff(units, values, alpha.interval))


def test_where_it_is_not_defined() -> None:
    nothing = np.array([], dtype=int)
    assert np.isnan(krippendorff(nothing, nothing, alpha.nominal))
    assert np.isnan(krippendorff(np.array([1, 1]), np.array([3, 3]), alpha.nominal))


def test_spans_that_lie_apart_as_strangers_do() -> None:
    """Spans that agree within a unit and share nothing across give 1; the same dealt the wrong way, less than 0."""
    spans = np.array([[0, 10], [0, 10], [20, 30], [20, 30]])
    assert krippendorff(np.array([0, 0, 1, 1]), spans, overlap_distance) == pytest.approx(1.0)
    # observed 1, expected 4 of 6 pairs: 1 - 1 / (2/3)
    assert krippendorff(np.array([0, 1, 0, 1]), spans, overlap_distance) == pytest.approx(-0.5)


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30)


@given(PAIRS)
def test_counts_and_moments_say_the_same_as_the_definition(pairs: list[tuple[int, int]]) -> None:
    both = np.array(pairs, dtype=float)
    units, values = np.repeat(np.arange(len(both)), 2), both.ravel()
    labels = np.array([(both == label).sum() for label in range(4)], dtype=float)
    differing = np.array(float((both[:, 0] != both[:, 1]).sum()))
    by_counts = alpha.of_label_counts(differing, labels)
    np.testing.assert_allclose(by_counts, krippendorff(units, values, alpha.nominal), atol=1e-12)
    moments = [float(len(both)), np.square(both[:, 0] - both[:, 1]).sum(), both.sum(), np.square(both).sum()]
    by_moments = alpha.of_moments(*(np.array(moment) for moment in moments))
    np.testing.assert_allclose(by_moments, krippendorff(units, values, alpha.interval), atol=1e-9)


def test_many_pairs_are_drawn_and_come_close() -> None:
    draw = np.random.default_rng(5)
    truth = draw.normal(size=400)
    values = np.repeat(truth, 2) + 0.5 * draw.normal(size=800)
    units = np.repeat(np.arange(400), 2)
    exact = krippendorff(units, values, alpha.interval)
    drawn = krippendorff(units, values, alpha.interval, most_pairs=20_000)
    assert exact == pytest.approx(1 / 1.25, abs=0.05)  # the share of the variance that is the unit's
    assert drawn == pytest.approx(exact, abs=0.02)
    first, second = alpha.pairs_at_random(800, most=5_000, seed=1)
    assert len(first) == 5_000
    assert (first != second).all()
