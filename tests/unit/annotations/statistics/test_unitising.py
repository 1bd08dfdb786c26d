"""Alpha for unitising against worked examples of Krippendorff."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.statistics.unitising import Continuum, Lengths, Units, alpha, apart, gaps, loose, of_lengths

# Krippendorff, Content Analysis (2nd ed. 2004), p. 254: two observers of a continuum from 150 to 450, categories c, k.
C_FIRST, C_SECOND = [(75, 145), (220, 250)], [(70, 150), (205, 225), (250, 270)]
K = [(30, 90), (150, 200)]

# Krippendorff, On the reliability of unitizing continuous data, Sociological Methodology 25 (1995), p. 57: four pairs
# of observers of a continuum of 24 steps. Begin and end of every unit.
BERTHA, BILL = [(2, 10), (14, 20)], [(4, 8), (15, 17)]
JOHN, JILL = [(0, 18)], [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 9), (9, 10)]
GERRET = [(2, 8), (10, 12), (14, 18), (20, 22)]
GILL = [(0, 2), (4, 8), (10, 14), (16, 18), (20, 22)]
HEATHER = [(0, 2), (2, 10), (10, 14), (14, 20), (20, 24)]
HILL = [(0, 4), (4, 8), (8, 15), (15, 17), (17, 24)]


def test_the_example_of_2004() -> None:
    """Do 0.0144, De 0.0532, alpha 0.7286 of c, 1 of k."""
    assert apart(C_FIRST, C_SECOND) / 300**2 == pytest.approx(0.0144, abs=5e-5)
    found = alpha([Continuum(300, [C_FIRST, C_SECOND])], step=1)
    assert found == pytest.approx(0.7286, abs=5e-5)
    assert apart(C_FIRST, C_SECOND) / 300**2 / (1 - found) == pytest.approx(0.0532, abs=5e-5)
    assert alpha([Continuum(300, [K, K])], step=1) == 1


@pytest.mark.parametrize(
    ("first", "second", "observed"),
    [(BERTHA, BILL, 0.03125), (JOHN, JILL, 2.26736), (GERRET, GILL, 0.02777), (HEATHER, HILL, 0.38715)],
)
def test_the_observed_disagreements_of_1995(first: Units, second: Units, observed: float) -> None:
    assert apart(first, second) / 24**2 == pytest.approx(observed, abs=1e-5)


@pytest.mark.parametrize(("first", "second", "published"), [(BERTHA, BILL, 0.553), (HEATHER, HILL, 0.066)])
def test_the_alphas_of_1995(first: Units, second: Units, published: float) -> None:
    """For steps of no length. His other two (-0.926 and 0.679) come of the De of 1995, which the book of 2004 corrects;
    they differ from ours in the second decimal."""
    assert alpha([Continuum(24, [first, second])]) == pytest.approx(published, abs=0.0005)


def test_the_published_expected_disagreement_of_1995() -> None:
    """0.06990: Do / De = 0.03125 / 0.06990."""
    found = alpha([Continuum(24, [BERTHA, BILL])])
    assert 0.03125 / (1 - found) == pytest.approx(0.06990, abs=5e-6)


@pytest.mark.parametrize("scale", [1e6, 0.001])
def test_the_unit_of_time_does_not_matter(scale: float) -> None:
    moved = [[(begin * scale, end * scale) for begin, end in units] for units in (GERRET, GILL)]
    assert alpha([Continuum(24 * scale, moved)]) == pytest.approx(alpha([Continuum(24, [GERRET, GILL])]))


def test_perfect_agreement_and_none() -> None:
    assert alpha([Continuum(100, [[(10, 12)], [(10, 12)]])]) == 1
    assert alpha([Continuum(100, [[(10, 12)], [(50, 52)]])]) < 0
    assert np.isnan(alpha([Continuum(100, [[], []])]))


def test_units_thrown_anywhere_agree_as_much_as_chance() -> None:
    draw = np.random.default_rng(4)
    continua = []
    for _ in range(4000):
        at = draw.uniform(0, 18, size=2)
        continua.append(Continuum(20, [[(at[0], at[0] + 2)], [(at[1], at[1] + 2)]]))
    assert alpha(continua) == pytest.approx(0, abs=0.05)


def test_a_marked_stretch_that_the_other_did_not_see_counts_whole() -> None:
    assert apart([(2, 5)], []) == 9
    assert apart([(2, 5)], [(7, 8)]) == 10
    assert apart([(2, 5)], [(3, 5)]) == 1


def test_gaps() -> None:
    assert gaps([(2, 5), (5, 6)], 10) == [2, 4]
    assert gaps([], 10) == [10]
    assert gaps([(0, 10)], 10) == []
    assert loose([(2, 5), (5, 6)], 10) == [6]
    assert loose([(2, 5), (7, 8)], 10) == [2, 4]
    assert loose([], 10) == []


def test_everybody_divides_every_continuum() -> None:
    with pytest.raises(ValueError, match="same two or more"):
        alpha([Continuum(10, [[(1, 2)]])])


CLIPS = st.tuples(st.floats(0, 15), st.floats(0.1, 4), st.floats(0, 15), st.floats(0.1, 4))


@given(st.lists(CLIPS, min_size=2, max_size=12))
def test_taking_a_clip_twice_is_the_same_as_having_it_twice(
    clips: list[tuple[float, float, float, float]],
) -> None:
    continua = [Continuum(20, [[(a, a + b)], [(c, c + d)]]) for a, b, c, d in clips]
    cluster = np.repeat(np.arange(len(continua)), 2)
    units = Lengths(np.array([end - begin for one in continua for ((begin, end),) in one.people]), cluster)
    between = Lengths(
        np.array([gap for one in continua for held in one.people for gap in loose(held, 20)]), cluster
    )
    weights = np.ones((1, len(continua)))
    weights[0, 0] = 2
    apart_of = np.array([apart(*one.people) for one in continua])
    found = of_lengths(weights @ apart_of, 20 * weights.sum(axis=1), 2, units, between, weights, np.zeros(1))
    assert found[0] == pytest.approx(alpha([*continua, continua[0]]), nan_ok=True)
