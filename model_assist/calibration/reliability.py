"""How well confidences keep their word: bins for the reliability plot, ECE, Brier score, log loss."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MOST_BINS: Final = 10
PAIRS_PER_BIN: Final = 15
Z: Final = 1.959963984540054
"""Of the 95 % Wilson interval."""

CHANCE_DRAWS: Final = 200


@dataclass(frozen=True)
class Bin:
    """Answers of similar confidence: from `low` to `high`, `count` of them, `right` right.

    confidence: their mean. share: right / count, with its 95 % Wilson interval share_low to share_high.
    """

    low: float
    high: float
    count: int
    right: int
    confidence: float
    share: float
    share_low: float
    share_high: float


def bins_of(confidence: Floats, right: Bools) -> list[Bin]:
    """Bins of about equal size, at most ten and about 15 answers in the smallest of cases; equal confidences stay
    together, so that there are fewer where many are equal. [] for no answers."""
    total = len(confidence)
    if not total:
        return []
    order = np.argsort(confidence, kind="stable")
    held, hits = confidence[order], right[order]
    number = min(MOST_BINS, max(1, total // PAIRS_PER_BIN))
    wanted = [round(total * part / number) for part in range(1, number)]
    ends = sorted({int(np.searchsorted(held, held[cut - 1], side="right")) for cut in wanted} | {total})
    bins, start = [], 0
    for end in ends:
        count, found = end - start, int(hits[start:end].sum())
        low, high = wilson(found, count)
        bins.append(
            Bin(
                low=float(held[start]), high=float(held[end - 1]), count=count, right=found,
                confidence=float(held[start:end].mean()), share=found / count, share_low=low, share_high=high,
            )
        )  # fmt: skip
        start = end
    return bins


def ece(bins: list[Bin]) -> float:
    """Expected calibration error: mean over the answers of |mean confidence - share right| of their bin.

    Naeini et al. 2015, with bins of equal mass (Nixon et al. 2019). 0 for no bins.
    """
    total = sum(one.count for one in bins)
    return sum(one.count * abs(one.confidence - one.share) for one in bins) / total if total else 0.0


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): sensible for few answers and for shares of 0 and 1. count > 0."""
    share, squared = right / count, Z * Z / count
    middle = (share + squared / 2) / (1 + squared)
    half = Z / (1 + squared) * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def brier(confidence: Floats, right: Bools) -> float:
    """Mean squared distance of the confidence from what came true (Brier 1950); 0.25 is a coin's."""
    return float(np.mean((confidence - right) ** 2))


def log_loss(confidence: Floats, right: Bools, *, closest: float = 1e-6) -> float:
    """Mean of -ln of the probability given to what came true, confidences kept `closest` away from 0 and 1."""
    kept = np.clip(confidence, closest, 1 - closest)
    return float(-np.mean(np.where(right, np.log(kept), np.log1p(-kept))))


def chance_ece(confidence: Floats, *, seed: int) -> float:
    """The ECE that these confidences would show if they kept their word exactly: what is left by chance alone.

    Mean of 200 draws. A measured ECE near this cannot be told from a perfect one with so few answers.
    """
    random = np.random.default_rng(seed)
    draws = [
        ece(bins_of(confidence, random.random(len(confidence)) < confidence)) for _ in range(CHANCE_DRAWS)
    ]
    return float(np.mean(draws)) if len(confidence) else 0.0


def report(confidence: Floats, right: Bools, *, seed: int) -> dict[str, Any]:
    """{"ece", "chance_ece", "brier", "log_loss", "bins"} as JSON."""
    bins = bins_of(confidence, right)
    return {
        "ece": ece(bins),
        "chance_ece": chance_ece(confidence, seed=seed),
        "brier": brier(confidence, right),
        "log_loss": log_loss(confidence, right),
        "bins": [asdict(one) for one in bins],
    }
