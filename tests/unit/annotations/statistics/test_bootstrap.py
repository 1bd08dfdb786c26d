"""Intervals hold what they promise: simulated reviews whose true agreement is known."""

from collections.abc import Callable

import numpy as np
import pytest

from annotations.statistics import bootstrap
from annotations.statistics.alpha import of_label_counts
from annotations.statistics.kappa import cohen

REPEATS = 400
# 0.95 give or take 3 standard deviations of a share of 400
LEAST, MOST = 0.95 - 3 * (0.95 * 0.05 / REPEATS) ** 0.5, 0.95 + 3 * (0.95 * 0.05 / REPEATS) ** 0.5
Floats = np.ndarray


def draws(clusters: int, seed: int) -> Floats:
    return np.concatenate(list(bootstrap.resamples(clusters, draws=400, seed=seed)))


def coverage(
    sums_of: Callable[[np.random.Generator], Floats],
    value: Callable[[Floats], Floats],
    truth: float,
) -> float:
    """How often the interval from additive sums [clusters, columns] holds the truth."""
    held = 0
    for seed in range(REPEATS):
        sums = sums_of(np.random.default_rng(seed))
        found = bootstrap.interval(value(draws(len(sums), seed) @ sums), clusters=len(sums))
        assert found is not None
        held += found[0] <= truth <= found[1]
    return held / REPEATS


def mean(sums: Floats) -> Floats:
    return np.asarray(sums[..., 1] / sums[..., 0])


def recordings(draw: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
    """Sizes of recordings, 1 to 5 pairs, and the recording of each pair."""
    sizes = draw.integers(1, 6, size=clusters)
    return sizes, np.repeat(np.arange(clusters), sizes)


def errors(draw: np.random.Generator, clusters: int = 40) -> Floats:
    """Onset errors of mean 0.5 s that clips of one recording share in part."""
    sizes, of = recordings(draw, clusters)
    shared, own = draw.exponential(0.3, size=clusters), draw.exponential(0.2, size=len(of))
    return np.stack([sizes.astype(float), np.bincount(of, weights=shared[of] + own)], axis=1)


def test_a_mean_error_over_recordings() -> None:
    assert LEAST <= coverage(errors, mean, 0.5) <= MOST


def test_at_the_fewest_recordings_that_get_an_interval_it_is_a_little_too_narrow_at_most() -> None:
    assert coverage(lambda draw: errors(draw, 20), mean, 0.5) >= 0.90


def test_drawing_pairs_as_if_they_were_independent_would_promise_too_much() -> None:
    """Why whole recordings are drawn: with what they share taken for independent, 95 % would be far less."""

    def pair_by_pair(draw: np.random.Generator) -> Floats:
        _, of = recordings(draw, 40)
        shared, own = draw.exponential(0.3, size=40), draw.exponential(0.05, size=len(of))
        return np.stack([np.ones(len(of)), shared[of] + own], axis=1)

    assert coverage(pair_by_pair, mean, 0.35) < LEAST


WRONG, YES = 0.1, 0.6  # each person errs this often; so many clips show a crash


def labels(draw: np.random.Generator, clusters: int = 60) -> Floats:
    """Counts of (yes, yes), (yes, no), (no, yes) and (no, no) of two people; all clips of a recording show the same."""
    _, of = recordings(draw, clusters)
    truth = (draw.random(clusters) < YES)[of]
    first, second = (truth ^ (draw.random(len(of)) < WRONG) for _ in range(2))
    cell = 2 * ~first + ~second
    return np.stack([np.bincount(of, weights=cell == one, minlength=clusters) for one in range(4)], axis=1)


def alpha_of(sums: Floats) -> Floats:
    yes = 2 * sums[..., 0] + sums[..., 1] + sums[..., 2]
    no = 2 * sums[..., 3] + sums[..., 1] + sums[..., 2]
    return of_label_counts(sums[..., 1] + sums[..., 2], np.stack([yes, no], axis=-1))


def kappa_of(sums: Floats) -> Floats:
    return cohen(sums.reshape(*sums.shape[:-1], 2, 2))


@pytest.mark.parametrize("statistic", [alpha_of, kappa_of])
def test_chance_corrected_agreement_over_recordings(statistic: Callable[[Floats], Floats]) -> None:
    says_yes = YES * (1 - WRONG) + (1 - YES) * WRONG
    truth = 1 - 2 * WRONG * (1 - WRONG) / (2 * says_yes * (1 - says_yes))
    assert LEAST <= coverage(labels, statistic, truth) <= MOST


def test_the_same_seed_draws_the_same_and_every_draw_has_all_clusters() -> None:
    drawn = draws(7, 3)
    assert drawn.shape == (400, 7)
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn == draws(7, 3)).all()
    assert not (drawn == draws(7, 4)).all()
    np.testing.assert_allclose(drawn.mean(axis=0), 1, atol=0.2)


def test_no_interval_without_enough_to_go_by() -> None:
    estimates = np.linspace(0, 1, 100)
    assert bootstrap.interval(estimates, clusters=1) is None
    estimates[:6] = np.nan
    assert bootstrap.interval(estimates, clusters=50) is None
    estimates[0] = 0.0
    found = bootstrap.interval(estimates, clusters=50)
    assert found is not None
    assert bootstrap.interval(np.array([]), clusters=50) is None
    assert bootstrap.interval(np.ones(100), clusters=50) is None, "60 of 60 is not certainty"


def test_few_clusters_widen_the_interval() -> None:
    estimates = np.linspace(0, 1, 1001)
    few, many = (bootstrap.interval(estimates, clusters=n) for n in (10, 100_000))
    assert few is not None
    assert many is not None
    assert few[0] < many[0] == pytest.approx(0.025, abs=0.001)
