"""What a count of errors among audited cases says about their rate. Plain Python: numbers in, numbers out.

Two kinds of upper bound, both for the chance that a case is wrong. `clopper_pearson` is for a number of cases settled
beforehand and looked at once. Looked at after every case it is passed sooner or later by luck alone, so that what
watches all the time goes by `anytime`, which holds at all times at once and is wider.

Sources: Clopper and Pearson, Biometrika 26 (1934) 404-413. Robbins, Ann. Math. Statist. 41 (1970) 1397-1409, for
mixtures of likelihood ratios and Ville's inequality. Waudby-Smith and Ramdas, J. R. Stat. Soc. B 86 (2024) 1-27, for
bounds by betting, of which the mixture here is one: a gambler who holds that the rate is at least p keeps losing to one
who spreads his stake over the lower rates, unless he is right. Shin, Ramdas and Rinaldo, New Engl. J. Stat. Data Sci. 2
(2023) 229-260 (e-detectors), for the alarm on a rate that has changed.
"""

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Counts = NDArray[Any]

PRIOR: Final = 0.5
"""Both parameters of the beta distribution over lower rates: most of the stake on rates near 0, where policies live."""

HALVINGS: Final = 40
MULTIPLES: Final = (1.5, 2.0, 4.0, 8.0)
"""Error rates, in multiples of the limit, that the alarm bets on; the truth may lie between them."""


def p_value(wrong: int, cases: int, limit: float) -> float:
    """The chance of so few errors or fewer if each case were wrong with probability `limit` (exact, binomial).

    Valid for "the rate is above the limit" also where cases err with different chances (Hoeffding, Ann. Math. Statist.
    27 (1956) 713-721) and where they are drawn from a finite number without putting back (Uhlmann, Metrika 10 (1966)
    145-158), for error counts below the expected one; only these are ever small enough to matter. 1 for no cases.
    """
    return float(special.bdtr(wrong, cases, limit)) if cases else 1.0


def clopper_pearson(wrong: Counts | int, cases: Counts | int, *, confidence: float) -> Floats:
    """One-sided upper bound of the error rate for a number of cases settled beforehand; 1 for no cases."""
    k, n = np.broadcast_arrays(np.asarray(wrong, np.float64), np.asarray(cases, np.float64))
    bound = special.betaincinv(k + 1, np.maximum(n - k, 0.5), confidence)
    return np.asarray(np.where(k >= n, 1.0, bound))


def log_wealth(wrong: Counts | int, cases: Counts | int, rate: Counts | float) -> Floats:
    """Natural log of what 1 has become by betting, case after case, that the error rate is below `rate` (0 to 1).

    If it is not, wealth ever reaches w with probability at most 1 / w (Ville). It is the mean of the likelihood ratios
    of all lower rates q against `rate`, q from a beta distribution cut off at `rate`, so that only counts matter.
    """
    k, n, p = np.broadcast_arrays(
        np.asarray(wrong, np.float64), np.asarray(cases, np.float64), np.asarray(rate, np.float64)
    )
    a, b = PRIOR, PRIOR
    with np.errstate(divide="ignore"):
        mixed = special.betaln(a + k, b + n - k) + np.log(special.betainc(a + k, b + n - k, p))
        stake = special.betaln(a, b) + np.log(special.betainc(a, b, p))
    return np.asarray(mixed - stake - special.xlogy(k, p) - special.xlog1py(n - k, -p))


def anytime(wrong: Counts | int, cases: Counts | int, *, confidence: float, tries: int = 1) -> Floats:
    """Upper bound of the error rate that holds after every case at once, with that confidence over all of time.

    It is the largest rate against which betting has not yet won tries / (1 - confidence). tries: of how many slices of
    cases this one was picked with its errors in view, e.g. candidate thresholds (a union bound). 1 for no cases.
    """
    k, n = np.broadcast_arrays(np.asarray(wrong, np.float64), np.asarray(cases, np.float64))
    goal = math.log(tries / (1 - confidence))
    low, high = np.where(n > 0, k / np.maximum(n, 1), 1.0), np.ones_like(n)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        with np.errstate(invalid="ignore"):
            lost = log_wealth(k, n, np.minimum(middle, 1 - 1e-12)) < goal
        low, high = np.where(lost, middle, low), np.where(lost, high, middle)
    return np.asarray(np.where(k >= n, 1.0, high))


def fewest(limit: float, *, delta: float, wrong: int = 0) -> int:
    """How many cases with so many errors show, each for itself, that the rate is below the limit: p_value <= delta."""
    low, high = wrong, max(wrong, 1)
    while p_value(wrong, high, limit) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if p_value(wrong, middle, limit) > delta else (low, middle)
    return high


class Alarm:
    """Watches one case after the other for an error rate that has come to lie above `limit`, whenever that began.

    Bets on several higher rates, from every case on anew: after each case the evidence is (1 + evidence) times the
    likelihood ratio. While the rate stays at or below the limit, it takes on average at least `patience` cases until
    the alarm rings for nothing. Old good cases do not make up for new bad ones, as they do in a mean.
    """

    def __init__(self, limit: float, *, patience: float) -> None:
        rates = sorted({min(limit * times, (1 + limit) / 2) for times in MULTIPLES})
        self._wrong = np.array([rate / limit for rate in rates])
        self._right = np.array([(1 - rate) / (1 - limit) for rate in rates])
        self._evidence = np.zeros(len(rates))
        self.patience = patience

    @property
    def evidence(self) -> float:
        """0 at first; the alarm rings when it reaches `patience`."""
        return float(self._evidence.mean())

    @property
    def rings(self) -> bool:
        return self.evidence >= self.patience

    def see(self, wrong: bool) -> "Alarm":
        """One more case."""
        self._evidence = (1 + self._evidence) * (self._wrong if wrong else self._right)
        return self

    def see_all(self, cases: Iterable[bool]) -> int | None:
        """Many cases in their order: the number, from 1, of the first at which it rings, None if it does not."""
        for number, wrong in enumerate(cases, start=1):
            if self.see(wrong).rings:
                return number
        return None
