"""How near answers come to a gold case's key. No database: what is said in, numbers out."""

from collections.abc import Mapping

from annotations.cases.kinds import TEXT_KINDS, TIME_KINDS, Kind
from annotations.cases.rules import Said
from annotations.reviews.alike import agreement, within


def score_kind(kind: str, key: Said, said: Said | None, tolerance: float | None) -> float:
    """1 for an answer that is right within its tolerance, else how far it agrees with the key (reviews.alike)."""
    if tolerance is not None and within(kind, key, said, tolerance):
        return 1.0
    return agreement(kind, key, said)


def score(
    key: Mapping[str, Said], said: Mapping[str, Said], tolerances: Mapping[str, float]
) -> tuple[float, dict[str, float]]:
    """The mean over the kinds of the key, and each kind's own; a kind without an answer scores 0.

    Raises ValueError for a key without any kind.
    """
    if not key:
        raise ValueError("a key needs at least one answer")
    kinds = {
        kind: score_kind(kind, right, said.get(kind), tolerances.get(kind)) for kind, right in key.items()
    }
    return sum(kinds.values()) / len(kinds), kinds


def tolerance_problems(tolerances: object) -> list[str]:
    """What is wrong with tolerances that somebody gave; empty when nothing is."""
    if not isinstance(tolerances, dict):
        return ["must name kinds and how far they may be off"]
    problems = []
    for kind, value in tolerances.items():
        number = not isinstance(value, bool) and isinstance(value, int | float)
        if kind in TIME_KINDS:
            if not number or int(value) != value or value < 0:
                problems.append(f"{kind}: must be a whole number of microseconds, 0 or more")
        elif kind in TEXT_KINDS:
            if not number or not 0 <= value <= 1:
                problems.append(f"{kind}: must be a share of words, 0 to 1")
        elif kind in Kind.values:
            problems.append(f"{kind}: is right or wrong, and has no tolerance")
        else:
            problems.append(f"{kind}: no such kind")
    return problems
