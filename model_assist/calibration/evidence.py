"""The reviewed answers of a model version: how sure it was, whether it was right, what the reviewer had in view."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet
from rouge_score.rouge_scorer import RougeScorer

from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, CaseStatus
from model_assist.calibration.models import Evidence
from model_assist.calibration.right import is_right
from model_assist.calibration.services import AUTO
from model_assist.crashchat.kinds import TEXT_KINDS
from model_assist.registry.models import ModelVersion

ANCHORED: Final = "anchored"
OTHER: Final = "other"
BLIND: Final = "blind"
STANDINGS: Final = (ANCHORED, OTHER, BLIND)

ANSWER: Final = (
    "id", "case_id", "state", "value", "confidence", "confidence_detail", "case__video_id", "case__video__recording",
)  # fmt: skip
ENOUGH_BLIND: Final = 100
"""From so many on, blind answers alone are used unless all are asked for."""


@dataclass(frozen=True)
class Reviewed:
    """One of the model's answers whose question has an approved one.

    standing: what the reviewer had in view. anchored: this model's draft; other: another model's; blind: none.
    texts: (approved, said) of the text kinds.
    """

    answer_id: int
    approved_id: int
    confidence: float
    right: bool
    recording: str
    standing: str
    texts: tuple[str, str] | None


@dataclass(frozen=True)
class Reviews:
    """All of a kind. left_out: how many could not be used, by reason."""

    kind: str
    usable: list[Reviewed]
    left_out: dict[str, int]

    @property
    def standing(self) -> dict[str, int]:
        """How many of each standing."""
        counted = Counter(one.standing for one in self.usable)
        return {name: counted[name] for name in STANDINGS}

    def chosen(self, wanted: str) -> tuple[Evidence, list[Reviewed]]:
        """The answers to fit on. wanted: all, blind, or auto: blind ones where there are ENOUGH_BLIND of them."""
        blind = [one for one in self.usable if one.standing == BLIND]
        if wanted == Evidence.BLIND or (wanted == AUTO and len(blind) >= ENOUGH_BLIND):
            return Evidence.BLIND, blind
        return Evidence.ALL, self.usable


def reviews_of(version: ModelVersion, kind: str) -> Reviews:
    """Every answer of this model and kind in an approved case, the newest where it answered several wordings.

    Left out, and counted: unparsable answers (they have no confidence to calibrate), answers given without asking
    because recognition had said no (their confidence is recognition's), and answers without a confidence. Cases that
    an auto-approval policy approved are no evidence: nobody has looked at them.
    """
    approved: dict[int, dict[str, Any]] = {
        row["case_id"]: {**row}
        for row in ApprovedAnswer.objects.filter(
            kind=kind, policy="", case__status=CaseStatus.APPROVED, case__in=_answers(version, kind).values("case")
        ).values(
            "case_id", "answer_id", "answer__state", "answer__value", "answer__author_kind", "answer__model_version",
            "answer__draft__author_kind", "answer__draft__model_version",
        )
    }  # fmt: skip
    newest: dict[int, dict[str, Any]] = {}
    answers = _answers(version, kind).filter(case__in=list(approved)).order_by("id")
    for row in answers.values(*ANSWER):
        newest[row["case_id"]] = row
    usable: list[Reviewed] = []
    left_out: Counter[str] = Counter()
    for case_id, row in newest.items():
        why = _unusable(row)
        if why:
            left_out[why] += 1
        else:
            usable.append(_reviewed(version, kind, row, approved[case_id]))
    return Reviews(kind, usable, dict(left_out))


def answers_hash(reviews: Sequence[Reviewed]) -> str:
    """SHA-256 over the lines "answer id, approved answer's id" in the order of the first."""
    lines = sorted((one.answer_id, one.approved_id) for one in reviews)
    return hashlib.sha256("".join(f"{said} {true}\n" for said, true in lines).encode()).hexdigest()


def mean_rouge_l(reviews: Sequence[Reviewed]) -> float | None:
    """Mean ROUGE-L F (stemmed) of the texts against the approved ones; None where there are none."""
    pairs = [one.texts for one in reviews if one.texts is not None]
    if not pairs:
        return None
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    known = {pair: float(scorer.score(*pair)["rougeL"].fmeasure) for pair in set(pairs)}
    return sum(known[pair] for pair in pairs) / len(pairs)


def _answers(version: ModelVersion, kind: str) -> QuerySet[Answer]:
    return Answer.objects.filter(author_kind=AuthorKind.MODEL, model_version=version.name, kind=kind)


def _unusable(row: dict[str, Any]) -> str:
    if row["state"] == "unparsable":
        return "unparsable"
    if row["confidence_detail"].get("gated"):
        return "gated"
    return "without_confidence" if row["confidence"] is None else ""


def _reviewed(version: ModelVersion, kind: str, row: dict[str, Any], approved: dict[str, Any]) -> Reviewed:
    true, said = approved["answer__value"], row["value"]
    return Reviewed(
        answer_id=row["id"],
        approved_id=approved["answer_id"],
        confidence=row["confidence"],
        right=is_right(kind, approved["answer__state"], true, row["state"], said),
        recording=row["case__video__recording"] or f"video {row['case__video_id']}",
        standing=_standing(version, approved),
        texts=(true["text"], said["text"]) if kind in TEXT_KINDS and true and said else None,
    )


def _standing(version: ModelVersion, approved: dict[str, Any]) -> str:
    """An approved answer of a model was taken over as it stood; a person's remembers the draft it started from."""
    author, name = approved["answer__author_kind"], approved["answer__model_version"]
    if author == AuthorKind.PERSON:
        author, name = approved["answer__draft__author_kind"], approved["answer__draft__model_version"]
    if author != AuthorKind.MODEL:
        return BLIND
    return ANCHORED if name == version.name else OTHER
