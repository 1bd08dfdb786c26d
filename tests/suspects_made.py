"""A corpus with planted wrong labels, for tests of the search for suspects: models, second people, copies of clips."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, Case, CaseStatus, Guideline
from annotations.cases.rules import Said
from annotations.corpora.models import Corpus, DuplicateCluster, DuplicateMember, Video
from annotations.reviews.models import Review
from crashdesk.accounts.models import User
from model_assist.calibration.models import Calibration
from model_assist.registry.models import ModelVersion
from tests.factories import make_corpus, make_guideline, make_media, make_model_version, make_user

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
KINDS = (Kind.CRASH_RECOGNITION, Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION)


def calibrate(version: ModelVersion, kind: str, *, slope: float = 1.0, intercept: float = 0.0) -> Calibration:
    """By which a confidence is worth what it says, unless told otherwise."""
    return Calibration.objects.create(
        model_version=version, kind=kind, method="logistic", parameters={"slope": slope, "intercept": intercept},
        evidence="all", pairs=100, right=80, recordings=100, rule="made up", standing={}, left_out={}, before={},
        after={}, folds=5, seed=0, answers_hash="0" * 64,
    )  # fmt: skip


@dataclass
class Planted:
    """A corpus and which (case, kind) of it has a wrong label."""

    corpus: Corpus
    cases: list[Case]
    wrong: set[tuple[int, str]] = field(default_factory=set)


def label_case(
    case: Case, by: User, said: Mapping[str, Said], *, approved: bool = True, at: datetime = NOON
) -> dict[str, Answer]:
    """Somebody's review of a case, whose answers count where it is approved."""
    review = Review.objects.create(
        case=case, reviewer=by, outcome="submitted", origin=f"made:{case.pk}:{by.pk}", submitted_at=at
    )
    answers = Answer.objects.bulk_create(
        Answer(
            case=case, kind=kind, state=one.state, value=one.value, author_kind="person", author=by,
            origin=f"made:{by.pk}",
        )
        for kind, one in said.items()
    )  # fmt: skip
    review.answers.set(answers)
    if approved:
        ApprovedAnswer.objects.bulk_create(
            ApprovedAnswer(case=case, kind=answer.kind, answer=answer) for answer in answers
        )
    return {answer.kind: answer for answer in answers}


def model_answers(
    case: Case, version: ModelVersion, said: Mapping[str, Said], confidence: Mapping[str, float]
) -> None:
    """What a model said of a case, and how sure it was."""
    Answer.objects.bulk_create(
        Answer(
            case=case, kind=kind, state=one.state, value=one.value, author_kind="model", model_version=version.name,
            confidence=confidence[kind],
        )
        for kind, one in said.items()
    )  # fmt: skip


def bare_case(corpus: Corpus, guideline: Guideline, name: str, *, seconds: int = 0, **fields: Any) -> Case:
    """An approved case without answers."""
    media = make_media(seconds=seconds) if seconds else None
    video = Video.objects.create(corpus=corpus, name=name, recording=name, media=media)
    return Case.objects.create(
        corpus=corpus, video=video, guideline=guideline, **{"status": CaseStatus.APPROVED, **fields}
    )


def cluster(*members: tuple[Case, dict[str, Any]]) -> None:
    """Put the clips of these cases together, each with its evidence."""
    made = DuplicateCluster.objects.create()
    for case, evidence in members:
        DuplicateMember.objects.create(cluster=made, video=case.video, evidence=evidence)


def truth_of(draw: random.Random) -> dict[str, Said]:
    """A crash somewhere in a clip of 20 s."""
    start = draw.randrange(4_000_000, 12_000_000)
    return {
        Kind.CRASH_RECOGNITION: Said("valued", {"label": "yes"}),
        Kind.CRASH_LOCALIZATION: Said("valued", {"start_us": start, "end_us": start + 2_000_000}),
        Kind.PRE_CRASH_LOCALIZATION: Said("valued", {"at_us": start - 1_500_000}),
    }


def wobbled(said: Mapping[str, Said], draw: random.Random, sigma_us: int) -> dict[str, Said]:
    """The same as another person sees it: times a little off."""
    found = {}
    for kind, one in said.items():
        value = one.value
        if value is not None and kind != Kind.CRASH_RECOGNITION:
            value = {name: max(0, round(at + draw.gauss(0, sigma_us))) for name, at in value.items()}
            if "end_us" in value:
                value["end_us"] = max(value["end_us"], value["start_us"] + 100_000)
        found[kind] = Said(one.state, value)
    return found


def spoiled(kind: str, said: Said) -> Said:
    """A wrong answer: the other word, or another time."""
    if kind == Kind.CRASH_RECOGNITION:
        return Said("valued", {"label": "no"})
    assert said.value is not None
    return Said("valued", {name: at + 5_000_000 for name, at in said.value.items()})


def plant(
    *,
    cases: int,
    wrong: int,
    second_people: float = 0.4,
    copies: float = 0.3,
    seed: int = 1,
) -> Planted:
    """Cases whose labels follow a known truth, but for some that were spoiled.

    The model is right as often as it says; a share of the cases has a second person's answers, and a share a copy of
    the clip that begins 1 s later.
    """
    draw = random.Random(seed)
    corpus, guideline, version = (
        make_corpus(),
        make_guideline(),
        make_model_version(f"judge {seed} {cases} {copies}"),
    )
    for kind in KINDS:
        calibrate(version, kind)
    one, other = make_user(), make_user()
    planted = Planted(corpus, [])
    spoil = {(number, draw.choice(KINDS)) for number in draw.sample(range(cases), wrong)}
    for number in range(cases):
        truth = truth_of(draw)
        case = bare_case(corpus, guideline, f"planted {number}")
        planted.cases.append(case)
        label = wobbled(truth, draw, 150_000)
        for kind in KINDS:
            if (number, kind) in spoil:
                label[kind] = spoiled(kind, label[kind])
                planted.wrong.add((case.pk, kind))
        label_case(case, one, label)
        sure = {kind: min(0.99, max(0.05, draw.betavariate(4, 1))) for kind in KINDS}
        said = wobbled(truth, draw, 200_000)
        for kind in KINDS:
            if draw.random() > sure[kind]:
                said[kind] = spoiled(kind, said[kind])
        model_answers(case, version, said, sure)
        if draw.random() < second_people:
            label_case(case, other, wobbled(truth, draw, 200_000), approved=False, at=NOON.replace(hour=11))
        if draw.random() < copies:
            later = bare_case(corpus, guideline, f"copy of {number}")
            earlier = {
                kind: Said(said_.state, {name: at - 1_000_000 for name, at in said_.value.items()})
                if said_.value and kind != Kind.CRASH_RECOGNITION
                else said_
                for kind, said_ in wobbled(truth, draw, 150_000).items()
            }
            label_case(later, other, earlier)
            cluster(
                (
                    case,
                    {"nearest": later.video_id, "shift_us": 1_000_000, "similarity": 0.93, "exact": False},
                ),
                (
                    later,
                    {"nearest": case.video_id, "shift_us": -1_000_000, "similarity": 0.93, "exact": False},
                ),
            )
            planted.cases.append(later)
    return planted
