"""Many corpora of known truth, certified and run as a policy would be: what the promise is worth. Numbers only.

`python -m tests.unit.model_assist.auto_approval.simulated` prints the tables of docs/auto-approval.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_assist.auto_approval.certification import Look, Promise, chosen, thresholds, walk
from model_assist.auto_approval.watching import Start, Verdict, watch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Generator = np.random.Generator

CALIBRATIONS: dict[str, Callable[[Floats], Floats]] = {
    "right": lambda score: 1 - score,
    "too sure": lambda score: np.clip(4 * (1 - score) + 0.02, 0, 1),
    "says nothing, errors just above the limit": lambda score: np.full_like(score, 0.1001),
    "upside down": lambda score: 0.25 * score,
    "right at the top, far off below": lambda score: np.where(score > 0.95, 0.01, 0.45),
    "far off at the very top": lambda score: np.where(score > 0.98, 0.6, 0.02),
}
"""What chance of an error a score really means; a score s says 1 - s."""


@dataclass(frozen=True)
class Corpus:
    """All candidates: what the calibrations say, and which are wrong."""

    score: Floats
    wrong: Bools

    def error_above(self, threshold: float) -> float:
        """The true share of wrong cases among those at or above the threshold."""
        return float(self.wrong[self.score >= threshold].mean())


def corpus(random: Generator, truth: Callable[[Floats], Floats], size: int = 2000) -> Corpus:
    """Most scores are high, as a trained model's are."""
    score = random.beta(14, 1, size)
    return Corpus(score, random.random(size) < truth(score))


def certify(random: Generator, made: Corpus, promise: Promise, *, sample: int) -> tuple[Look | None, int]:
    """The look that was chosen, if any, and the length of the row, with a random sample settled by people."""
    drawn = random.permutation(len(made.score))[:sample]
    row = thresholds(made.score, sample=sample, promise=promise, attempt=1)
    looks = walk(
        row,
        population=made.score,
        scores=made.score[drawn],
        wrong=made.wrong[drawn],
        promise=promise,
        attempt=1,
    )
    return chosen(looks), len(row)


def trusting(made: Corpus, promise: Promise) -> float | None:
    """The threshold of somebody who believes the calibrations: as many cases as these say keep the limit."""
    order = np.sort(made.score)[::-1]
    expected = np.cumsum(1 - order) / np.arange(1, len(order) + 1)
    keeps = np.flatnonzero(expected <= promise.limit)
    return float(order[keeps[-1]]) if len(keeps) else None


def anywhere(random: Generator, made: Corpus, promise: Promise, *, sample: int) -> float | None:
    """The threshold of somebody who looks at every threshold of the sample and takes the lowest that shows at most the
    limit wrong: no p-values, no order."""
    drawn = random.permutation(len(made.score))[:sample]
    order = np.argsort(-made.score[drawn])
    share = np.cumsum(made.wrong[drawn][order]) / np.arange(1, sample + 1)
    keeps = np.flatnonzero(share <= promise.limit)
    return float(made.score[drawn][order][keeps[-1]]) if len(keeps) else None


@dataclass(frozen=True)
class Tally:
    """Over so many corpora: how many got a threshold, and of how many more than the limit above it was wrong."""

    corpora: int
    certified: int
    broken: int
    coverage: float


def promises(
    name: str, promise: Promise, *, corpora: int, sample: int = 400, seed: int = 0
) -> dict[str, Tally]:
    """Tallies of the policy and of the two that take no such care, by how they choose."""
    random = np.random.default_rng(seed)
    found: dict[str, list[tuple[bool, float]]] = {"policy": [], "trusting": [], "anywhere": []}
    for _ in range(corpora):
        made = corpus(random, CALIBRATIONS[name])
        look, _ = certify(random, made, promise, sample=sample)
        for who, threshold in (
            ("policy", look.threshold if look else None),
            ("trusting", trusting(made, promise)),
            ("anywhere", anywhere(random, made, promise, sample=sample)),
        ):
            if threshold is not None:
                broken = made.error_above(threshold) > promise.limit
                found[who].append((broken, float((made.score >= threshold).mean())))
    return {
        who: Tally(
            corpora, len(kept), sum(broken for broken, _ in kept),
            float(np.mean([covered for _, covered in kept])) if kept else 0.0,
        )
        for who, kept in found.items()
    }  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A started policy to its end. approved, wrong: cases approved unseen and the wrong ones among them, before the
    change and after it, until the stop. verdict: of the watch; stopped: whether it did."""

    approved: tuple[int, int]
    wrong: tuple[int, int]
    verdict: Verdict
    stopped: bool


def run(
    random: Generator, promise: Promise, start: Start, *, before: float, after: float, change: int, cases: int,
    audit_share: float = 0.1, lag: int = 20, patience: float = 1000,
) -> Run:  # fmt: skip
    """Sure cases come one by one, wrong with probability `before`, from number `change` on with `after`. People settle
    an audited case when `lag` more have been audited; with the stop nothing more is approved."""
    wrong = random.random(cases) < np.where(np.arange(cases) < change, before, after)
    audited = random.random(cases) < audit_share
    places = np.flatnonzero(audited)
    verdict = watch(promise, start, wrong[places].tolist(), patience=patience)
    last = cases
    if verdict.reason:
        settled = verdict.seen - 1 + lag if verdict.seen else 0
        last = int(places[settled]) if settled < len(places) else cases
    approved = ~audited
    approved[last:] = False
    early = np.arange(cases) < change
    parts = (approved & early, approved & ~early)
    return Run(
        (int(parts[0].sum()), int(parts[1].sum())),
        (int((parts[0] & wrong).sum()), int((parts[1] & wrong).sum())),
        verdict,
        bool(verdict.reason),
    )


def main() -> None:
    promise = Promise(limit=0.1, confidence=0.95, certify_at=0.5)
    plain = Promise(limit=0.1, confidence=0.95)
    print(
        "calibration | certify_at | certified | mean coverage | broken | trusting broken | anywhere broken (500 each)"
    )
    for name in CALIBRATIONS:
        for asked in (plain, promise):
            made = promises(name, asked, corpora=500)
            policy = made["policy"]
            print(
                f"{name} | {asked.certify_at:g} | {policy.certified} | {policy.coverage:.0%} | {policy.broken} | "
                f"{made['trusting'].broken} of {made['trusting'].certified} | "
                f"{made['anywhere'].broken} of {made['anywhere'].certified}"
            )
    random = np.random.default_rng(0)
    print(
        "error before -> after | stopped | approved after the change until the stop (median, worst) | error till stop"
    )
    for before, after in ((0.02, 0.02), (0.02, 0.12), (0.02, 0.2), (0.02, 0.4), (0.02, 0.8)):
        runs = [
            run(random, promise, Start(300, 5, 10), before=before, after=after, change=5000, cases=30_000)
            for _ in range(200)
        ]
        later = [one.approved[1] for one in runs]
        total = sum(sum(one.wrong) for one in runs) / sum(sum(one.approved) for one in runs)
        print(
            f"{before:g} -> {after:g} | {sum(one.stopped for one in runs)} of {len(runs)} | "
            f"{int(np.median(later))}, {max(later)} | {total:.2%}"
        )


if __name__ == "__main__":
    main()
