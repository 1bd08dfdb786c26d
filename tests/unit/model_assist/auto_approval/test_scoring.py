import pytest

from annotations.cases.kinds import Kind
from model_assist.auto_approval.scoring import Asked, score
from model_assist.calibration.models import Calibration
from model_assist.calibration.services import Calibrator

HONEST = Calibrator(
    {
        kind: Calibration(kind=kind, method="logistic", parameters={"slope": 1.0, "intercept": 0.0})
        for kind in (Kind.CRASH_RECOGNITION, Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION)
    }
)
YES = Asked("valued", 0.9, gated=False)
GATED = Asked("absent", 0.8, gated=True)


def test_a_case_is_as_sure_as_all_its_judged_answers_together() -> None:
    answers = {
        Kind.CRASH_RECOGNITION: YES, Kind.CRASH_LOCALIZATION: Asked("valued", 0.5, gated=False),
        Kind.PRE_CRASH_LOCALIZATION: Asked("valued", 0.1, gated=False),
    }  # fmt: skip
    assert score(HONEST, answers, [Kind.CRASH_RECOGNITION]) == pytest.approx(0.9)
    assert score(HONEST, answers, [Kind.CRASH_RECOGNITION, Kind.CRASH_LOCALIZATION]) == pytest.approx(0.45)


def test_what_only_follows_from_recognition_counts_once() -> None:
    no = {
        Kind.CRASH_RECOGNITION: Asked("valued", 0.8, gated=False), Kind.CRASH_LOCALIZATION: GATED,
        Kind.PRE_CRASH_LOCALIZATION: GATED,
    }  # fmt: skip
    assert score(HONEST, no, list(no)) == pytest.approx(0.8)
    times = [Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION]
    assert score(HONEST, no, times) == pytest.approx(0.8)


@pytest.mark.parametrize(
    "answer",
    [None, Asked("valued", None, gated=False)],
)
def test_without_an_answer_or_its_confidence_there_is_no_score(answer: Asked | None) -> None:
    answers = {Kind.CRASH_RECOGNITION: YES} | ({Kind.CRASH_LOCALIZATION: answer} if answer else {})
    assert score(HONEST, answers, [Kind.CRASH_RECOGNITION, Kind.CRASH_LOCALIZATION]) is None


def test_without_a_calibration_there_is_no_score_and_an_unreadable_answer_is_never_sure() -> None:
    words = {Kind.CRASH_DESCRIPTION: Asked("valued", 0.99, gated=False)}
    assert score(HONEST, words, list(words)) is None
    unread = {Kind.CRASH_RECOGNITION: Asked("unparsable", 0.0, gated=False)}
    assert score(HONEST, unread, list(unread)) == 0.0
