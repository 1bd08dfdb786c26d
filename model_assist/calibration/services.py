"""Asking for calibrations, and what a confidence is worth by the newest ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from annotations.cases.kinds import AnswerState
from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, CaseStatus
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from crashdesk.jobs.models import Job
from crashdesk.jobs.services import enqueue_once
from model_assist.calibration.mapping import apply
from model_assist.calibration.models import Calibration, Evidence
from model_assist.crashchat.kinds import ALL, CRASH_RECOGNITION
from model_assist.registry.models import ModelVersion

JOB: Final = "calibrate"
AUTO: Final = "auto"
CHOICES: Final = (AUTO, *Evidence.values)


def enqueue_fit(
    *,
    model_version: ModelVersion,
    kinds: Sequence[str] = (),
    evidence: str = AUTO,
    seed: int = 0,
    by: User | None,
) -> Job:
    """The job that fits these kinds (default: all six), or the one that waits already.

    Its result is {"fitted": {kind: id}, "refused": {kind: why}}. Raises Problem for an unknown kind or evidence, and
    when no answer of the model is in an approved case.
    """
    unknown = [kind for kind in kinds if kind not in ALL]
    if unknown or evidence not in CHOICES:
        fields = (
            {"kinds": [f"unknown: {', '.join(unknown)}"]} if unknown else {"evidence": [f"one of {CHOICES}"]}
        )
        raise Problem("invalid", "Unknown kinds or evidence.", fields=fields, status=400)
    reviewed = Answer.objects.filter(
        author_kind=AuthorKind.MODEL, model_version=model_version.name, case__status=CaseStatus.APPROVED,
        case__in=ApprovedAnswer.objects.values("case"),
    )  # fmt: skip
    if not reviewed.exists():
        raise Problem("nothing_reviewed", f"No case that {model_version} has answered is approved yet.")
    args = {
        "model_version": model_version.pk, "kinds": [kind for kind in ALL if not kinds or kind in kinds],
        "evidence": evidence, "seed": seed,
    }  # fmt: skip
    return enqueue_once(JOB, args, by=by, group=f"calibration:{model_version.pk}")


def newest(model_version: ModelVersion) -> dict[str, Calibration]:
    """The calibration that counts of every kind that has one."""
    rows = Calibration.objects.filter(model_version=model_version).order_by("kind", "-id").distinct("kind")
    return {row.kind: row for row in rows}


@dataclass(frozen=True)
class Calibrator:
    """The newest calibrations of one model version, read once and used for many answers."""

    by_kind: dict[str, Calibration]

    @classmethod
    def of(cls, model_version: ModelVersion) -> "Calibrator":
        return cls(newest(model_version))

    def of_confidence(self, kind: str, confidence: float) -> float | None:
        """The probability that an answer of this confidence is right; None where the kind is not calibrated.

        Exactly 0 stays 0: that is how unparsable answers are written, and they are in no calibration.
        """
        found = self.by_kind.get(kind)
        if found is None:
            return None
        return 0.0 if confidence == 0.0 else apply(found.method, found.parameters, confidence)

    def of_answer(self, answer: Answer) -> float | None:
        """The same of a model's answer, see `of_said`."""
        if answer.confidence is None:
            return None
        gated = bool(answer.confidence_detail.get("gated"))
        return self.of_said(answer.kind, answer.state, answer.confidence, gated=gated)

    def of_said(self, kind: str, state: str, confidence: float, *, gated: bool) -> float | None:
        """The same by an answer's parts. One given unasked, because recognition said no, is as sure as recognition."""
        if state == AnswerState.UNPARSABLE:
            return 0.0
        return self.of_confidence(CRASH_RECOGNITION if gated else kind, confidence)


def calibrated(version: ModelVersion, kind: str, confidence: float) -> float | None:
    """What one confidence is worth; for many answers make one Calibrator. None where the kind is not calibrated."""
    return Calibrator.of(version).of_confidence(kind, confidence)
