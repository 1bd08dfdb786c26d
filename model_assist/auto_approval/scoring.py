"""How sure a case is: one number from its answers' calibrated probabilities. It only ranks; no promise rests on it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from model_assist.calibration.services import Calibrator


@dataclass(frozen=True)
class Asked:
    """What is needed of one answer. gated: given unasked, because recognition said no."""

    state: str
    confidence: float | None
    gated: bool


def score(calibrator: Calibrator, answers: Mapping[str, Asked], kinds: Collection[str]) -> float | None:
    """The probability that all these kinds are right, as the calibrations say, if kinds err independently.

    Answers that only follow from recognition are right or wrong with it, so that it counts once for all of them. None
    where a kind has no answer, no confidence, or no calibration.
    """
    worths: list[float] = []
    gate: float | None = None
    for kind in sorted(kinds):
        answer = answers.get(kind)
        if answer is None or answer.confidence is None:
            return None
        worth = calibrator.of_said(kind, answer.state, answer.confidence, gated=answer.gated)
        if worth is None:
            return None
        if answer.gated:
            gate = worth if gate is None else min(gate, worth)
        else:
            worths.append(worth)
    if gate is not None and not _asked_recognition(answers, kinds):
        worths.append(gate)
    return math.prod(worths)


def _asked_recognition(answers: Mapping[str, Asked], kinds: Collection[str]) -> bool:
    return "crash_recognition" in kinds and not answers["crash_recognition"].gated
