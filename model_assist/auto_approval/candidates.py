"""The cases that a policy might approve: what the model said of each, how sure that is, and why one may not be."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from django.db.models import Q, QuerySet

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus, Guideline
from annotations.cases.rules import Said, check
from annotations.corpora.models import Corpus
from annotations.gold.models import GoldCase
from annotations.reviews.models import Assignment, Purpose
from model_assist.auto_approval.models import Policy, SampleCase
from model_assist.auto_approval.scoring import Asked, score
from model_assist.calibration.models import Calibration
from model_assist.calibration.services import Calibrator
from model_assist.registry.models import ModelVersion

CHUNK: Final = 1000
ANSWERED: Final = (
    CaseStatus.PREDICTED, CaseStatus.IN_REVIEW, CaseStatus.SUBMITTED, CaseStatus.RETURNED, CaseStatus.DISPUTED,
    CaseStatus.ADJUDICATING, CaseStatus.APPROVED,
)  # fmt: skip

MISSING: Final = "not all six questions are answered"
OTHER_MODEL: Final = "another model version has answered since"
UNSURE: Final = "an answer has no calibrated confidence"


@dataclass(frozen=True)
class Setup:
    """What makes a case a candidate: whose answers, to which questions, worth what. kinds: those that are judged."""

    corpus: Corpus
    guideline: Guideline
    model_version: ModelVersion
    kinds: frozenset[str]
    calibrations: dict[str, Calibration]

    @classmethod
    def of(cls, policy: Policy) -> "Setup":
        """As it was when the policy was made, whatever was calibrated since."""
        held = Calibration.objects.in_bulk(list(policy.calibrations.values()))
        calibrations = {kind: held[pk] for kind, pk in policy.calibrations.items()}
        return cls(
            policy.corpus,
            policy.guideline,
            policy.model_version,
            frozenset(policy.error_rules),
            calibrations,
        )

    @property
    def calibrator(self) -> Calibrator:
        return Calibrator(self.calibrations)


@dataclass(frozen=True)
class Candidate:
    """One case. answers: kind to the id of the model's answer; refused: why no policy may approve it, empty if one may.

    score: see scoring.py; None where it has none, which refuses it.
    """

    case_id: int
    status: str
    answers: dict[str, int] = field(default_factory=dict)
    said: dict[str, Said] = field(default_factory=dict)
    score: float | None = None
    refused: str = ""


def population(setup: Setup) -> QuerySet[Case]:
    """The cases that a promise is about: answered by the model, and not settled by anybody yet.

    Left out are cases that people have ever approved, because calibrations may have been fitted on them, and because
    previews and earlier certificates have shown their errors: limits and rules may have been chosen by these. Also
    those that a policy has approved, because nobody has looked; and gold cases, which are picked.
    """
    answered = Answer.objects.filter(author_kind=AuthorKind.MODEL, model_version=setup.model_version.name)
    seen = SampleCase.objects.filter(checked_at__isnull=False)
    return (
        Case.objects.filter(corpus=setup.corpus, guideline=setup.guideline, status__in=ANSWERED)
        .filter(pk__in=answered.values("case"))
        .exclude(pk__in=ApprovedAnswer.objects.values("case"))
        .exclude(pk__in=seen.values("case"))
        .exclude(pk__in=gold_cases().values("pk"))
    )


def gold_cases() -> QuerySet[Case]:
    """Cases whose answers are known beforehand, to measure people: marked as such, or given to somebody as such."""
    marked = GoldCase.objects.filter(unmarked_at__isnull=True).values("case")
    given = Assignment.objects.filter(purpose=Purpose.GOLD).values("case")
    return Case.objects.filter(Q(pk__in=marked) | Q(pk__in=given))


def load(setup: Setup, cases: Iterable[int]) -> Iterator[Candidate]:
    """The given cases as candidates, in the order of their ids within each chunk, two queries a chunk."""
    waiting = iter(cases)
    calibrator = setup.calibrator
    while some := list(islice(waiting, CHUNK)):
        yield from _chunk(setup, calibrator, some)


def _chunk(setup: Setup, calibrator: Calibrator, ids: Sequence[int]) -> Iterator[Candidate]:
    newest: dict[int, dict[str, dict[str, Any]]] = {pk: {} for pk in ids}
    rows = Answer.objects.filter(case__in=ids, author_kind=AuthorKind.MODEL).order_by("id")
    for row in rows.values(
        "id", "case_id", "kind", "state", "value", "confidence", "confidence_detail__gated", "model_version"
    ):
        newest[row["case_id"]][row["kind"]] = {**row}
    cases = Case.objects.filter(pk__in=ids).order_by("pk")
    for pk, status, duration in cases.values_list("pk", "status", "video__media__duration_us"):
        yield _candidate(setup, calibrator, pk, status, duration, newest[pk])


def _candidate(
    setup: Setup, calibrator: Calibrator, pk: int, status: str, duration_us: int | None,
    rows: dict[str, dict[str, Any]],
) -> Candidate:  # fmt: skip
    said = {kind: Said(row["state"], row["value"]) for kind, row in rows.items()}
    answers = {kind: row["id"] for kind, row in rows.items()}
    worth = score(
        calibrator,
        {k: Asked(r["state"], r["confidence"], bool(r["confidence_detail__gated"])) for k, r in rows.items()},
        setup.kinds,
    )
    findings = check(said, duration_us=duration_us)
    refused = ""
    if set(rows) != set(Kind.values):
        refused = MISSING
    elif any(row["model_version"] != setup.model_version.name for row in rows.values()):
        refused = OTHER_MODEL
    elif findings:
        refused = "; ".join(finding.message for finding in findings)
    elif worth is None:
        refused = UNSURE
    return Candidate(pk, status, answers, said, worth, refused[:300])
