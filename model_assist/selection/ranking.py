"""Which cases to review next: the model's least certain ones, and a random slice as an unbiased check."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from annotations.cases.kinds import Kind


@dataclass(frozen=True)
class Pick:
    """One chosen case: rank from 1, uncertainty 0 to 1 (None: the model said nothing), and why."""

    case_id: int
    rank: int
    uncertainty: float | None
    reason: str


def uncertainty(confidences: Mapping[str, float]) -> tuple[float, str] | None:
    """1 - the lowest confidence over a case's answers, and the kind that has it; None without any."""
    if not confidences:
        return None
    order = list(Kind.values)
    kind = min(confidences, key=lambda name: (confidences[name], order.index(name)))
    return 1.0 - confidences[kind], kind


def pick(
    confidences: Mapping[int, Mapping[str, float]], *, size: int, random_share: float, seed: int
) -> list[Pick]:
    """Rank up to `size` of the given cases (case id -> kind -> confidence 0 to 1).

    round(size * random_share) of them are drawn at random and spread evenly through the order; the others
    are the most uncertain first. The same input and seed give the same picks.
    """
    size = min(size, len(confidences))
    randoms = random.Random(seed)
    drawn = randoms.sample(sorted(confidences), round(size * random_share))
    chance = set(drawn)
    scored = {case_id: uncertainty(kinds) for case_id, kinds in confidences.items()}
    ranked = sorted(
        (case_id for case_id in confidences if case_id not in chance),
        key=lambda case_id: (-(found[0] if (found := scored[case_id]) else 1.0), case_id),
    )[: size - len(drawn)]
    slots = {round((i + 0.5) * size / len(drawn)) for i in range(len(drawn))} if drawn else set()
    picks: list[Pick] = []
    for rank in range(1, size + 1):
        take_chance = drawn and (rank in slots or not ranked)
        case_id = drawn.pop() if take_chance else ranked.pop(0)
        found = scored[case_id]
        if take_chance:
            reason = "drawn at random, to see what the model is sure of and wrong about"
        elif found is None:
            reason = "the model has said nothing about it"
        else:
            reason = f"least certain in {found[1]}: confidence {1 - found[0]:.2f}"
        picks.append(Pick(case_id, rank, found[0] if found else None, reason))
    return picks
