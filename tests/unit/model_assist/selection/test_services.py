"""A selection round over real cases."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.models import Case, CaseStatus
from crashdesk.accounts.models import User
from crashdesk.api.errors import Problem
from model_assist.calibration.services import calibrated
from model_assist.calibration.work import fit
from model_assist.selection.services import select
from tests.factories import make_case, make_corpus, make_guideline, make_model_version, make_video
from tests.unit.model_assist.calibration.made import reviewed

pytestmark = pytest.mark.django_db


def test_the_order_reaches_the_cases_and_reviewed_ones_are_left_out(lead: User) -> None:
    make_model_version("tiny")
    corpus, guideline = make_corpus(), make_guideline()
    sure, unsure = (
        make_case(CaseStatus.PREDICTED, video=make_video(corpus), confidence=confidence)
        for confidence in (0.9, 0.4)
    )
    make_case(CaseStatus.APPROVED, video=make_video(corpus), confidence=0.1)
    made = select(corpus=corpus, guideline=guideline, size=10, random_share=0, seed=1, by=lead)
    assert list(made.picks.values_list("case", "uncertainty")) == [
        (unsure.pk, pytest.approx(0.6)),
        (sure.pk, pytest.approx(0.1)),
    ]
    assert dict(Case.objects.exclude(review_rank=None).values_list("pk", "review_rank")) == {
        unsure.pk: 1,
        sure.pk: 2,
    }
    select(corpus=corpus, guideline=guideline, size=1, random_share=0, seed=1, by=lead)
    sure.refresh_from_db()
    assert sure.review_rank is None


def test_a_calibrated_confidence_counts_instead_of_the_raw_one(lead: User) -> None:
    model = make_model_version("tiny")
    corpus, guideline = make_corpus(), make_guideline()
    reviewed(model, 60, lead)
    assert fit(model_version=model, kind=Kind.CRASH_RECOGNITION, by=lead).parameters["slope"] < 0.8
    case = make_case(CaseStatus.PREDICTED, video=make_video(corpus), confidence=0.9)
    worth = calibrated(model, Kind.CRASH_RECOGNITION, 0.9)
    assert worth is not None
    assert worth < 0.8
    made = select(corpus=corpus, guideline=guideline, size=1, random_share=0, seed=1, by=lead)
    assert list(made.picks.values_list("case", "uncertainty")) == [(case.pk, pytest.approx(1 - worth))]


def test_nothing_to_select_is_said(lead: User) -> None:
    with pytest.raises(Problem, match="waits for review"):
        select(corpus=make_corpus(), guideline=make_guideline(), size=1, random_share=0, seed=0, by=lead)
