"""How near answers come to a key, worked out by hand."""

import pytest

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.gold.scoring import score, tolerance_problems
from tests.factories import CRASH
from tests.gold_made import WRONG

SPAN, ONSET, CAUSE = Kind.CRASH_LOCALIZATION, Kind.PRE_CRASH_LOCALIZATION, Kind.CAUSAL_REASONING


def test_the_score_is_the_mean_of_what_each_kind_agrees() -> None:
    whole, kinds = score(CRASH, WRONG, {})
    assert kinds[SPAN] == pytest.approx(0.15)  # 0.3 s shared of 2 s
    assert kinds[CAUSE] == pytest.approx(2 * 1 / (8 + 4))  # only "the" is shared
    assert whole == pytest.approx((4 + 0.15 + 1 / 6) / 6)
    assert score(CRASH, CRASH, {})[0] == 1.0


def test_an_answer_within_its_tolerance_is_right() -> None:
    near = {**CRASH, ONSET: Said("valued", {"at_us": 1_450_000})}
    assert score(CRASH, near, {})[1][ONSET] == pytest.approx(0.5 / 0.75)
    assert score(CRASH, near, {ONSET: 250_000})[1][ONSET] == 1.0
    assert score(CRASH, near, {ONSET: 249_999})[1][ONSET] == pytest.approx(0.5 / 0.75)


def test_what_is_missing_scores_nothing() -> None:
    said = {kind: what for kind, what in CRASH.items() if kind != SPAN}
    assert score(CRASH, said, {SPAN: 10_000_000})[1][SPAN] == 0.0


def test_a_key_needs_an_answer() -> None:
    with pytest.raises(ValueError, match="at least one"):
        score({}, CRASH, {})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({SPAN: -1}, SPAN),
        ({SPAN: 0.5}, SPAN),
        ({ONSET: True}, ONSET),
        ({CAUSE: 1.5}, CAUSE),
        ({Kind.CRASH_RECOGNITION: 0.5}, Kind.CRASH_RECOGNITION),
        ({"mood": 1}, "mood"),
        ([], "kinds"),
    ],
)
def test_what_is_no_tolerance_is_said(given: object, named: str) -> None:
    assert any(named in problem for problem in tolerance_problems(given))
    assert tolerance_problems({SPAN: 200_000, ONSET: 0, CAUSE: 0.2}) == []
