"""How often intervals for a saving hold the truth: two arms of known times, and the usual intervals beside ours.

`python -m tests.unit.annotations.statistics.simulated [runs [arm/arm ...]]` prints the table of docs/effort.md: of each
setting the share of runs in which the interval held the truth, and its median width (of the log of the ratio) as a
multiple of that of Student's t.

A saving scales the times of one arm, and of one person all these intervals scale with it: what share of runs they hold
is the same for every saving (tests: `test_saving.py`). So the settings differ in shape only.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from annotations.statistics.saving import saving

Floats = NDArray[np.float64]
Ends = tuple[float, float]
Shape = Callable[[np.random.Generator, int], Floats]
DRAWS: Final = 599
TAILS: Final = (0.025, 0.975)
WIDE: Final = 20.0


def lognormal(spread: float) -> Shape:
    """Of mean 1. `spread`: of the logs."""
    return lambda draw, many: np.exp(spread * draw.standard_normal(many) - spread**2 / 2)


def gamma(draw: np.random.Generator, many: int) -> Floats:
    """Of mean 1 and shape 0.5: many that are next to nothing, and a tail."""
    return draw.gamma(0.5, 2.0, many)


def outliers(share: float, longer: float) -> Shape:
    """Log-normal times (0.6) of mean 1, of which a share take longer than cutting idle time out can help: so much
    longer on average, exponentially distributed."""

    def drawn(draw: np.random.Generator, many: int) -> Floats:
        rare = np.where(draw.random(many) < share, 1 + draw.exponential(longer - 1, many), 1.0)
        return lognormal(0.6)(draw, many) * rare / (1 + share * (longer - 1))

    return drawn


SHAPES: Final[Mapping[str, Shape]] = {
    "log-normal 0.5": lognormal(0.5),
    "log-normal 1": lognormal(1.0),
    "log-normal 1.5": lognormal(1.5),
    "gamma 0.5": gamma,
    "5 % take 4 times as long": outliers(0.05, 4.0),
    "3 % take 10 times as long": outliers(0.03, 10.0),
}


def glanced(times: Floats, draw: np.random.Generator) -> Floats:
    """Half of the cases accepted at a glance, in a fifth of the time: the arms differ in shape. The mean stays."""
    return times * np.where(draw.random(len(times)) < 0.5, 0.2, 1.0) / 0.6


@dataclass(frozen=True)
class Arms:
    """So many cases without a draft and with one, whose times are of a shape; `glances`: see `glanced`."""

    without: int
    of: int
    shape: str
    glances: bool = False

    def drawn(self, draw: np.random.Generator) -> tuple[Floats, Floats]:
        """Times of both arms, of mean 1: nothing is saved."""
        control, other = (SHAPES[self.shape](draw, many) for many in (self.without, self.of))
        return control, glanced(other, draw) if self.glances else other


def ours(control: Floats, other: Floats) -> Ends:
    """`annotations.statistics.saving.saving`, of one person whose clips each are a recording; as log of the ratio."""
    many = len(control) + len(other)
    blind = np.arange(many) < len(control)
    found = saving(np.r_[control, other], blind, np.zeros(many, int), np.arange(many))
    assert found is not None
    return float(np.log(1 - found.high)), float(np.log(1 - found.low))


def usual(control: Floats, other: Floats, draw: np.random.Generator) -> Iterator[tuple[str, Ends]]:
    """What textbooks offer, for the log of the ratio: the difference of mean logs, the delta method with Welch's t,
    Fieller (J. R. Stat. Soc. B 16 (1954) 175-185), BCa and the studentised bootstrap (Davison and Hinkley 1997)."""
    of = [
        (times.mean(), times.var(ddof=1) / len(times) / times.mean() ** 2, len(times))
        for times in (control, other)
    ]
    (low, low_part, low_many), (high, high_part, high_many) = of
    whole, parts = np.log(high / low), low_part + high_part
    free = parts**2 / (low_part**2 / (low_many - 1) + high_part**2 / (high_many - 1))
    student = float(stats.t.ppf(TAILS[1], free))
    logs = [np.log(times) for times in (control, other)]
    middle = logs[1].mean() - logs[0].mean()
    error = 1.96 * np.sqrt(sum(one.var(ddof=1) / len(one) for one in logs))
    yield "mean logs", (middle - error, middle + error)
    spread = student * np.sqrt(parts)
    yield "delta, t", (whole - spread, whole + spread)
    left = 1 - student**2 * low_part
    root = student * np.sqrt(max(parts - student**2 * low_part * high_part, 0.0))
    ends = (
        np.log(np.maximum([(1 - root) / left, (1 + root) / left], np.exp(-WIDE)))
        if left > 0
        else (-WIDE, WIDE)
    )
    yield "Fieller", (whole + ends[0], whole + ends[1])
    again = [_again(times, draw) for times in (control, other)]
    draws = np.log(again[1][0] / again[0][0])
    yield "BCa", _accelerated(draws, whole, control, other)
    deviates = (draws - whole) / np.sqrt(again[0][1] + again[1][1])
    low_end, high_end = np.quantile(deviates, TAILS)
    yield "bootstrap-t", (whole - high_end * np.sqrt(parts), whole - low_end * np.sqrt(parts))


def _again(times: Floats, draw: np.random.Generator) -> tuple[Floats, Floats]:
    """Means of resamples and their squared errors relative to them."""
    many = len(times)
    taken = times[draw.integers(0, many, (DRAWS, many))]
    means = taken.mean(axis=1)
    return means, taken.var(axis=1, ddof=1) / many / means**2


def _accelerated(draws: Floats, whole: float, control: Floats, other: Floats) -> Ends:
    bias = stats.norm.ppf(np.clip(np.mean(draws < whole), 1 / DRAWS, 1 - 1 / DRAWS))
    pulls = np.r_[(1 - control / control.mean()) / len(control), (other / other.mean() - 1) / len(other)]
    skew = np.sum(pulls**3) / (6 * np.sum(pulls**2) ** 1.5)
    level = bias + stats.norm.ppf(TAILS)
    low, high = np.quantile(draws, stats.norm.cdf(bias + level / (1 - skew * level)))
    return float(low), float(high)


def table(arms: Arms, runs: int, seed: int = 20_261) -> dict[str, tuple[float, float]]:
    """Of every interval the share of runs in which it held the truth, and its median width by that of `delta, t`."""
    draw = np.random.default_rng(seed)
    held, width = defaultdict(list), defaultdict(list)
    for _ in range(runs):
        control, other = arms.drawn(draw)
        for name, (low, high) in [*usual(control, other, draw), ("ours", ours(control, other))]:
            held[name].append(low <= 0 <= high)
            width[name].append(high - low)
    usually = np.median(width["delta, t"])
    return {name: (float(np.mean(held[name])), float(np.median(width[name]) / usually)) for name in held}


def main(runs: int, wanted: list[str]) -> None:
    """Print the table."""
    for arms in wanted or ["30/30", "60/240", "200/2000"]:
        without, of = map(int, arms.split("/"))
        for shape in SHAPES:
            for glances in (False, True):
                found = table(Arms(without, of, shape, glances), runs)
                if shape == "log-normal 0.5" and not glances:
                    print("| arms | times | " + " | ".join(found) + " |\n|---|---|" + "---|" * len(found))
                cells = [f"{share:.3f} ({width:.2f})" for share, width in found.values()]
                words = f"{shape}{', half at a glance' if glances else ''}"
                print(f"| {without}/{of} | {words} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, sys.argv[2:])
