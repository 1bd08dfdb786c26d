"""How much speaks against a label, by source and in all. Plain Python.

A score is the probability that the label is wrong, given that WRONG_AT_FIRST of labels are, by Bayes's rule over what
the witnesses say (as Dawid and Skene, Appl. Statist. 28 (1979) 20-28, weigh observers of known reliability). A witness
that is right with probability r multiplies the odds by (r / (1 - r)) ** (2 apart - 1): by r / (1 - r) where it
contradicts the label, by its inverse where it agrees, by nothing half way.

- a model: r is its calibrated probability. Alone, this is the ranking by self-confidence of confident learning
  (Northcutt, Jiang and Chuang, J. Artif. Intell. Res. 70 (2021) 1373-1411).
- a person, a copy of the clip: r is OTHERS_RIGHT, of a copy less where the pictures are less alike.

Witnesses are taken as independent. They are not quite (two people may have begun from one draft), so read it as a rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.reviews.alike import agreement

WRONG_AT_FIRST: Final = 0.05
OTHERS_RIGHT: Final = 0.9
LEAST: Final = 0.2
"""Labels with a lower score are no suspects. A model alone makes one where it is 83 % sure, one other person does."""
_SUREST: Final = 0.99


@dataclass(frozen=True)
class Witness:
    """Somebody or something else that answered the same question. `apart`: 0 to 1; `right`: how likely it is right."""

    name: str
    apart: float
    right: float = OTHERS_RIGHT


@dataclass(frozen=True)
class Score:
    """What speaks against a label. A source that says nothing about it is None."""

    total: float
    model: float | None
    people: float | None
    duplicates: float | None


def apart(kind: str, label: Said, other: Said) -> float:
    """0 where two answers agree well enough to be of one mind, 1 where they have nothing in common.

    Yes or no is the same or is not. Of times and texts an agreement of one half is well enough (a tIoU of 1/2, an onset
    half a second off, half of the words): where calibration calls an answer right, and where people seldom do better.
    """
    alike = agreement(kind, label, other)
    return 1 - alike if kind == Kind.CRASH_RECOGNITION else max(0.0, 1 - 2 * alike)


def of_copy(strength: float) -> float:
    """How likely the label of a copy is right about this clip; 0 to 1 as the pictures are alike."""
    return 0.5 + (OTHERS_RIGHT - 0.5) * strength


def evidence(witness: Witness) -> float:
    """What a witness adds to the log of the odds that the label is wrong. A model that is more often wrong than right
    tells nothing."""
    right = min(max(witness.right, 0.5), _SUREST)
    return (2 * witness.apart - 1) * math.log(right / (1 - right))


def wrong(witnesses: Sequence[Witness]) -> float | None:
    """How likely the label is wrong by these witnesses; None without any."""
    if not witnesses:
        return None
    odds = math.log(WRONG_AT_FIRST / (1 - WRONG_AT_FIRST)) + sum(map(evidence, witnesses))
    return 1 / (1 + math.exp(-odds))


def score(*, model: Witness | None, people: Sequence[Witness], duplicates: Sequence[Witness]) -> Score:
    """Each source on its own, and all of them together; 0 in all where there is no witness."""
    models = [model] if model else []
    total = wrong([*models, *people, *duplicates])
    return Score(total or 0.0, wrong(models), wrong(people), wrong(duplicates))
