import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from annotations.corpus_audit.statistics import (
    association,
    chi_squared,
    coverage,
    cramers_v,
    entropy_bits,
    excess_over,
    held_out_accuracy,
    histogram,
    holm,
    independence,
    lump_rare,
    quantile_codes,
    quantiles,
    resolution,
    robust_z,
    rounded,
    spikes,
    table_of,
)

PAIRS = st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 4)), min_size=1, max_size=60)


def _table(pairs):
    x, y = np.array(pairs).T
    return table_of(x, y)


@given(PAIRS.filter(lambda pairs: any(x >= 0 and y >= 0 for x, y in pairs)))
def test_measures_of_association_stay_in_their_bounds(pairs: list[tuple[int, int]]) -> None:
    found = association(_table(pairs))
    assert 0 <= found.baseline <= found.accuracy <= 1
    assert 0 <= found.held_out <= found.accuracy + 1e-9
    assert 0 <= found.information <= found.entropy + 1e-9
    assert 0 <= found.explained <= 1
    assert 0 <= found.v <= 1
    assert 0 <= found.errors_removed <= 1


@given(
    PAIRS.filter(lambda pairs: any(x >= 0 and y >= 0 for x, y in pairs)), st.randoms(use_true_random=False)
)
def test_neither_order_nor_names_matter(pairs, random) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    names = list(range(6))
    random.shuffle(names)
    renamed = [(names[x] if x >= 0 else x, y) for x, y in shuffled]
    first, second = rounded(association(_table(pairs))), rounded(association(_table(renamed)))
    assert first == pytest.approx(second)


@given(PAIRS.filter(lambda pairs: sum(x >= 0 and y >= 0 for x, y in pairs) > 1))
def test_held_out_accuracy_is_what_leaving_each_row_out_gives(pairs) -> None:
    x, y = (column[(np.array(pairs) >= 0).all(axis=1)] for column in np.array(pairs).T)
    right = 0.0
    for row in range(len(x)):
        others = np.arange(len(x)) != row
        answers = y[others & (x == x[row])]
        if not len(answers):
            answers = y[others]
        values, counts = np.unique(answers, return_counts=True)
        best = values[counts == counts.max()]
        right += (y[row] in best) / len(best)
    assert held_out_accuracy(table_of(x, y)) == pytest.approx(right / len(x))


def test_association_agrees_with_scipy() -> None:
    random = np.random.default_rng(1)
    x = random.integers(0, 4, 500)
    y = np.where(random.random(500) < 0.4, x, random.integers(0, 4, 500))
    table = table_of(x, y)
    expected = stats.chi2_contingency(table.dense(), correction=False)
    assert chi_squared(table) == pytest.approx(expected.statistic)
    p, test = independence(table)
    assert (p, test) == (pytest.approx(expected.pvalue), "chi-squared")
    assert association(table).information == pytest.approx(
        stats.entropy(table.by_x, base=2)
        + stats.entropy(table.by_y, base=2)
        - stats.entropy(table.counts, base=2)
    )


def test_a_column_that_gives_the_other_away() -> None:
    x = np.repeat([0, 1, 2], [600, 300, 100])
    found = association(table_of(x, (x == 0).astype(int)))
    assert (found.accuracy, found.held_out, found.baseline) == (1.0, 1.0, 0.6)
    assert found.information == pytest.approx(found.entropy)
    assert found.errors_removed == 1.0
    assert found.v == pytest.approx(1.0, abs=0.01)


def test_columns_that_tell_nothing_of_each_other() -> None:
    random = np.random.default_rng(2)
    table = table_of(random.integers(0, 40, 300), random.integers(0, 40, 300))
    found = association(table)
    assert found.accuracy > 0.2  # the rule made from these rows looks good on them
    assert found.held_out < 0.06  # and is not
    assert found.v < 0.1
    p, test = independence(table)
    assert test == "drawn tables"
    assert p > 0.01


def test_few_rows_in_many_cells_are_tested_by_drawing_tables() -> None:
    x = np.repeat(np.arange(30), 2)
    p, test = independence(table_of(x, x))
    assert test == "drawn tables"
    assert p == pytest.approx(1 / 1000)
    assert independence(table_of(x, x)) == (p, test)


def test_a_single_value_tells_nothing() -> None:
    found = association(table_of(np.zeros(9, int), np.arange(9) % 2))
    assert (found.v, found.information, found.errors_removed) == (0.0, 0.0, 0.0)
    assert independence(table_of(np.zeros(9, int), np.arange(9) % 2)) == (1.0, "none")
    with pytest.raises(ValueError, match="empty"):
        association(table_of(np.array([-1]), np.array([0])))
    assert cramers_v(table_of(np.arange(5), np.arange(5))) == 0.0


@given(st.lists(st.integers(0, 50), max_size=20))
def test_entropy_lies_between_none_and_all_equal(counts: list[int]) -> None:
    found = entropy_bits(np.array(counts))
    assert 0 <= found <= np.log2(max(len(counts), 1)) + 1e-9


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values: list[float]) -> None:
    corrected = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, corrected, strict=True))
    by_p = [q for _, q in sorted(zip(p_values, corrected, strict=True))]
    assert by_p == sorted(by_p)


def test_holm_on_the_textbook_steps() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_spike_among_even_values_is_found_alone() -> None:
    random = np.random.default_rng(3)
    values = random.integers(5, 60, 1000) * 100_000
    values[:200] = 1_500_000
    (found,) = spikes(values, step=100_000)
    assert found.value == 1_500_000
    assert found.count >= 200
    assert found.ratio > 10
    assert found.p < 1e-9


@given(st.integers(0, 10_000), st.sampled_from([1, 7, 100_000]))
def test_even_values_have_no_spikes(seed: int, step: int) -> None:
    values = np.random.default_rng(seed).integers(0, 40, 800) * step
    assert spikes(values, step=step) == []


def test_a_smooth_hill_is_no_spike() -> None:
    values = np.round(np.random.default_rng(4).normal(50, 6, 5000)).astype(np.int64)
    assert spikes(values, step=1) == []


def test_a_coarser_grid_than_the_bins_is_no_row_of_spikes() -> None:
    frames = np.random.default_rng(5).integers(0, 50, 2000)
    assert spikes(np.round(frames * 33_366.7).astype(np.int64), step=10_000) == []


@given(st.lists(st.integers(0, 3), max_size=50))
def test_spikes_of_anything_are_among_the_values(values: list[int]) -> None:
    found = spikes(np.array(values, dtype=np.int64), step=1)
    assert {spike.value for spike in found} <= set(values)
    assert all(np.isfinite(spike.ratio) for spike in found)


def test_the_only_value_stands_out_once_it_is_not_chance() -> None:
    (found,) = spikes(np.full(40, 7), step=1)
    assert (found.value, found.count, found.ratio, found.neighbours) == (7, 40, 40.0, 0)
    assert spikes(np.full(2, 7), step=1) == []


def test_resolution_is_the_coarsest_step_that_nearly_all_keep() -> None:
    steps = (10_000, 100_000, 1_000_000)
    tenths = np.arange(0, 5_000_000, 100_000)
    assert resolution(tenths, steps=steps) == 100_000
    assert resolution(np.append(np.repeat(tenths, 10), 123), steps=steps) == 100_000
    assert resolution(np.array([1, 2, 3]), steps=steps) == 10_000


def test_excess_over_is_the_conditional_binomial_test() -> None:
    assert excess_over(30, 10, ratio=1) == pytest.approx(
        stats.binomtest(30, 40, 0.5, alternative="greater").pvalue
    )
    assert excess_over(20, 10, ratio=2) > 0.4
    assert excess_over(0, 10, ratio=2) == 1.0


def test_coverage_counts_what_was_drawn_once() -> None:
    assert coverage(np.array([5, 3, 1, 1])) == pytest.approx(0.8)
    assert coverage(np.array([1, 1])) == 0.0
    assert coverage(np.array([], dtype=np.int64)) == 0.0


def test_robust_z_finds_the_far_value_whatever_it_is() -> None:
    values = np.append(np.arange(20.0), 1000.0)
    z = robust_z(values)
    assert np.flatnonzero(np.abs(z) > 3.5).tolist() == [20]
    mostly_equal = robust_z(np.array([5.0] * 20 + [9.0]))
    assert np.flatnonzero(mostly_equal > 3.5).tolist() == [20]
    assert robust_z(np.full(4, 7.0)).tolist() == [0.0] * 4


def test_codes_of_quantiles_and_of_rare_values() -> None:
    parts = quantile_codes(np.arange(100), np.arange(100) < 90, parts=5)
    assert np.bincount(parts[:90]).tolist() == [18] * 5
    assert set(parts[90:].tolist()) == {-1}
    lumped = lump_rare(np.array([0, 0, 0, 1, 2, -1]), least=2)
    assert lumped.tolist() == [0, 0, 0, 3, 3, -1]


def test_summaries_of_nothing() -> None:
    assert histogram(np.array([])) == {"edges": [], "counts": []}
    assert quantiles(np.array([])) == {}
    assert quantiles(np.arange(5)) == {"min": 0, "q1": 1, "median": 2, "q3": 3, "max": 4}
    assert sum(histogram(np.arange(50), bins=7)["counts"]) == 50
