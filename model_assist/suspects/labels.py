"""The labels of some cases, and who or what else answered the same questions. Reads only, in a handful of queries."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from annotations.cases.kinds import AnswerState
from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, CaseStatus
from annotations.cases.rules import Said
from annotations.datasets.models import DatasetRecord
from annotations.reviews.models import Dispute, DisputeState, Purpose, Review, ReviewOutcome
from model_assist.calibration.services import Calibrator
from model_assist.registry.models import ModelVersion
from model_assist.suspects.scoring import Witness, apart

SUBMITTED: Final = (CaseStatus.SUBMITTED, CaseStatus.DISPUTED, CaseStatus.ADJUDICATING)
NOT_BLIND: Final = (Purpose.SECOND, Purpose.ADJUDICATE)
"""Passes that begin from another person's answer: no second opinion."""


@dataclass(frozen=True)
class Label:
    """The answer of one kind that counts. `reviewer`: whose review holds it, None where an import or a policy does."""

    case: int
    kind: str
    answer: int
    said: Said
    approved: bool
    reviewer: int | None


@dataclass(frozen=True)
class Opinion:
    """What a person said of a case in a review of their own."""

    case: int
    kind: str
    person: int
    username: str
    said: Said


def opinions_of(cases: Collection[int]) -> dict[tuple[int, str], list[Opinion]]:
    """Each person's newest answer of every kind, given without having seen another person's; of known cases too."""
    rows: Any = (
        Review.answers.through.objects.filter(
            review__case__in=cases, review__outcome=ReviewOutcome.SUBMITTED
        )
        .exclude(review__purpose__in=NOT_BLIND)
        .order_by("review__submitted_at", "review_id")
        .values_list(
            "review__case_id", "answer__kind", "review__reviewer_id", "review__reviewer__username", "answer__state",
            "answer__value",
        )
    )  # fmt: skip
    newest: dict[tuple[int, str, int], Opinion] = {}
    for case, kind, person, name, state, value in rows:
        if state != AnswerState.UNPARSABLE:
            newest[case, kind, person] = Opinion(case, kind, person, name, Said(state, value))
    found: dict[tuple[int, str], list[Opinion]] = defaultdict(list)
    for (case, kind, _), opinion in newest.items():
        found[case, kind].append(opinion)
    return found


def labels_of(cases: Collection[int]) -> list[Label]:
    """What counts for these cases: approved answers, else those of the newest submitted review."""
    labels: dict[tuple[int, str], Label] = {}
    reviews: Any = (
        Review.objects.filter(case__in=cases, outcome=ReviewOutcome.SUBMITTED)
        .exclude(purpose=Purpose.GOLD)
        .order_by("case_id", "-submitted_at", "-id")
        .distinct("case_id")
        .values_list("id", "case_id", "reviewer_id")
    )
    newest = {review: (case, person) for review, case, person in reviews}
    open_cases = set(
        Review.objects.filter(pk__in=newest, case__status__in=SUBMITTED).values_list("case_id", flat=True)
    )
    rows: Any = Review.answers.through.objects.filter(
        review__in=newest, review__case__in=open_cases
    ).values_list("review_id", "answer_id", "answer__kind", "answer__state", "answer__value")
    for review, answer, kind, state, value in rows:
        case, person = newest[review]
        labels[case, kind] = Label(case, kind, answer, Said(state, value), False, person)
    holders = _holders(cases)
    counted: Any = ApprovedAnswer.objects.filter(
        case__in=cases, case__status=CaseStatus.APPROVED
    ).values_list("case_id", "kind", "answer_id", "answer__state", "answer__value")
    for case, kind, answer, state, value in counted:
        labels[case, kind] = Label(case, kind, answer, Said(state, value), True, holders.get((case, answer)))
    return [label for label in labels.values() if label.said.state != AnswerState.UNPARSABLE]


def _holders(cases: Collection[int]) -> dict[tuple[int, int], int]:
    """Whose newest review holds an answer."""
    rows: Any = (
        Review.answers.through.objects.filter(review__case__in=cases, review__outcome=ReviewOutcome.SUBMITTED)
        .exclude(review__purpose=Purpose.GOLD)
        .order_by("review__submitted_at", "review_id")
        .values_list("review__case_id", "answer_id", "review__reviewer_id")
    )
    return {(case, answer): person for case, answer, person in rows}


def decided_cases(cases: Collection[int]) -> set[int]:
    """Cases whose disagreement an adjudicator has settled: there people's answers tell nothing new."""
    settled = Dispute.objects.filter(case__in=cases, state=DisputeState.SETTLED)
    return set(settled.values_list("case_id", flat=True))


def people_against(label: Label, opinions: Sequence[Opinion]) -> list[Witness]:
    """Everybody else who answered the question."""
    return [
        Witness(one.username, apart(label.kind, label.said, one.said))
        for one in opinions
        if one.person != label.reviewer
    ]


class Models:
    """The calibrated models, newest first. A model that was trained on a case's label repeats it: it is not asked."""

    def __init__(self) -> None:
        self._versions = list(
            ModelVersion.objects.filter(calibrations__isnull=False).distinct().order_by("-id")
        )
        self._calibrators = {version.name: Calibrator.of(version) for version in self._versions}

    def against(self, labels: Sequence[Label]) -> dict[tuple[int, str], Witness]:
        """For each label what the newest calibrated model says of it: its apartness, and how likely it is right."""
        cases = {label.case for label in labels}
        said: dict[tuple[str, int, str], tuple[Said, float]] = {}
        rows: Any = (
            Answer.objects.filter(
                case__in=cases, author_kind=AuthorKind.MODEL, model_version__in=list(self._calibrators)
            )
            .order_by("id")
            .values_list(
                "case_id", "kind", "model_version", "state", "value", "confidence", "confidence_detail"
            )
        )
        for case, kind, name, state, value, confidence, detail in rows:
            if confidence is None or state == AnswerState.UNPARSABLE:
                continue
            right = self._calibrators[name].of_said(kind, state, confidence, gated=bool(detail.get("gated")))
            if right is not None:
                said[name, case, kind] = (Said(state, value), right)
        learnt = self._learnt(cases)
        found: dict[tuple[int, str], Witness] = {}
        for label in labels:
            for version in self._versions:
                one = said.get((version.name, label.case, label.kind))
                if one is not None and (version.pk, label.case) not in learnt:
                    found[label.case, label.kind] = Witness(
                        version.name, apart(label.kind, label.said, one[0]), one[1]
                    )
                    break
        return found

    def _learnt(self, cases: Collection[int]) -> set[tuple[int, int]]:
        """Which model was trained on which case."""
        by_dataset: dict[int, list[int]] = defaultdict(list)
        for version in self._versions:
            if version.trained_on_id is not None:
                by_dataset[version.trained_on_id].append(version.pk)
        rows: Any = DatasetRecord.objects.filter(
            version__in=list(by_dataset), case__in=cases, split="train"
        ).values_list("version_id", "case_id")
        return {(model, case) for dataset, case in rows for model in by_dataset[dataset]}
