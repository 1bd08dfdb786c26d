import numpy as np
import pytest

from annotations.statistics.kappa import cohen


def test_worked_examples() -> None:
    """Cohen (1960): 200 cases, agreed .70, by chance .41. Fleiss, Statistical Methods for Rates and Proportions
    (2nd ed. 1981), chapter 13: 100 cases, agreed .89, by chance .66.
    """
    cohen_1960 = np.array([[88.0, 14.0, 18.0], [10.0, 40.0, 10.0], [2.0, 6.0, 12.0]])
    assert cohen(cohen_1960) == pytest.approx((0.70 - 0.41) / (1 - 0.41))
    assert cohen(cohen_1960) == pytest.approx(0.492, abs=0.0005)
    fleiss_1981 = np.array([[75.0, 1.0, 4.0], [5.0, 4.0, 1.0], [0.0, 0.0, 10.0]])
    assert cohen(fleiss_1981) == pytest.approx(0.68, abs=0.005)
    np.testing.assert_allclose(cohen(np.stack([cohen_1960, fleiss_1981])), [0.4915, 0.6765], atol=0.0001)


def test_where_it_is_not_defined() -> None:
    assert np.isnan(cohen(np.zeros((2, 2))))
    assert np.isnan(cohen(np.array([[9.0, 0.0], [0.0, 0.0]])))


def test_habits_alone_give_nothing() -> None:
    independent = np.outer([0.8, 0.2], [0.6, 0.4])
    assert cohen(independent) == pytest.approx(0.0, abs=1e-12)
