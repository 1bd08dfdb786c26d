"""Approved cases with a model's answers whose confidence is wrong in a known way."""

import numpy as np

from annotations.cases.kinds import Kind
from annotations.cases.models import Answer, ApprovedAnswer, AuthorKind, Case, CaseStatus
from annotations.corpora.models import Video
from crashdesk.accounts.models import User
from model_assist.registry.models import ModelVersion
from tests.factories import make_corpus, make_guideline

WRONG_AND_RIGHT = {
    Kind.CRASH_RECOGNITION: ({"label": "no"}, {"label": "yes"}),
    Kind.CRASH_DESCRIPTION: ({"text": "no collision."}, {"text": "car hits a truck."}),
}


def reviewed(
    model: ModelVersion,
    number: int,
    by: User,
    *,
    slope: float = 0.4,
    intercept: float = -0.8,
    seed: int = 0,
    blind: float = 0.0,
    kind: Kind = Kind.CRASH_RECOGNITION,
) -> None:
    """`number` approved cases of one clip and recording each. The model is right with probability
    sigmoid(slope * logit(confidence) + intercept). A share `blind` of them was answered without a draft."""
    random, values = np.random.default_rng(seed), WRONG_AND_RIGHT[kind]
    odds = random.normal(1.5, 1.5, number)
    right = random.random(number) < 1 / (1 + np.exp(-(slope * odds + intercept)))
    alone = random.random(number) < blind
    corpus, guideline = make_corpus(), make_guideline()
    videos = Video.objects.bulk_create(
        Video(corpus=corpus, name=f"{corpus.pk}_{n}.mp4", recording=f"r{corpus.pk}_{n}")
        for n in range(number)
    )
    cases = Case.objects.bulk_create(
        Case(corpus=corpus, video=video, guideline=guideline, status=CaseStatus.APPROVED) for video in videos
    )
    said = Answer.objects.bulk_create(
        Answer(
            case=case, kind=kind, state="valued", value=values[int(right[n])], author_kind=AuthorKind.MODEL,
            model_version=model.name, confidence=float(1 / (1 + np.exp(-odds[n]))),
        )
        for n, case in enumerate(cases)
    )  # fmt: skip
    approved = Answer.objects.bulk_create(
        Answer(
            case=case, kind=kind, state="valued", value=values[1], author_kind=AuthorKind.PERSON, author=by,
            origin=f"test:{case.pk}", draft=None if alone[n] else said[n],
        )
        for n, case in enumerate(cases)
    )  # fmt: skip
    ApprovedAnswer.objects.bulk_create(
        ApprovedAnswer(case=answer.case, kind=kind, answer=answer, approved_by=by) for answer in approved
    )
