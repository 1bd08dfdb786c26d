"""Simulated reviewers: what they answer, and the time they would have taken."""

import random
from fractions import Fraction
from typing import Any

from annotations.cases.kinds import Kind
from annotations.cases.rules import Said
from annotations.reviews.alike import agreement
from annotations.reviews.plans import DEFAULT_THRESHOLDS
from crashdesk.demo.simulated import BETWEEN_MS, Clock, nearer, prepare, seen_as, toil_of
from crashdesk.demo.truth import corrected
from tests.factories import CRASH, NO_CRASH
from tests.unit.crashdesk.demo.test_truth import as_truth

SPAN, TRUTH = Kind.CRASH_LOCALIZATION, as_truth(CRASH)
ROW = {"truth": TRUTH, "duration_us": 5_000_000}
DATA = {"fps": 30.0, "case_id": 7}
REGIONS = corrected(TRUTH, Fraction(30))


def toil(shown: list[Any], said: list[Any]) -> tuple[float, int]:
    made = toil_of(shown, said, clip_us=5_000_000, draw=random.Random(1))
    return made.seconds, made.typed


def test_who_is_careless_starts_a_dispute_about_the_span_alone() -> None:
    seen = seen_as(TRUTH, careless=True)
    alike = {
        kind: agreement(kind, CRASH[kind], Said(said["state"], said["value"])) for kind, said in seen.items()
    }
    assert [kind for kind, share in alike.items() if share < DEFAULT_THRESHOLDS[kind]] == [SPAN]
    assert seen_as(TRUTH, careless=False) == TRUTH
    assert seen_as(as_truth(NO_CRASH), careless=True) == as_truth(NO_CRASH)


def test_a_good_draft_saves_typing_and_time() -> None:
    kept, blind = toil(REGIONS, REGIONS), toil([], REGIONS)
    assert kept[1] == 0
    assert blind[1] == sum(
        len(CRASH[kind].value["text"]) for kind in CRASH if "text" in (CRASH[kind].value or {})
    )  # type: ignore[index]
    assert kept[0] < blind[0]


def test_the_same_case_takes_the_same_time_again() -> None:
    one, again = (prepare(task=3, draft=(REGIONS, 9, DATA), row=ROW) for _ in range(2))
    assert one == again
    assert (one.task, one.case, one.prediction, one.regions) == (3, 7, 9, REGIONS)


def test_work_is_told_behind_one_another_and_under_the_same_name_again() -> None:
    told: list[dict[str, Any]] = []

    class Desk:
        def post(self, path: str, data: dict[str, Any]) -> None:
            assert path == "activity"
            told.append(data)

    passes = [prepare(task=number, draft=([], None, DATA), row=ROW) for number in (1, 2)]
    for _ in range(2):
        clock = Clock(Desk(), passes, ago_s=60)  # type: ignore[arg-type]
        for one in passes:
            clock.tell(one)
    first, second, again, _ = told
    assert first["at"] == sorted(first["at"])
    assert second["at"][0] - first["at"][-1] == BETWEEN_MS
    assert second["at"][-1] <= second["now"] - 60_000 + 2
    assert (first["at"][-1] - first["at"][0]) / 1000 == round(passes[0].toil.seconds, 3)
    assert first["batch"] == again["batch"] != second["batch"]


def test_the_adjudicator_takes_what_is_nearer_to_the_truth() -> None:
    careless = seen_as(TRUTH, careless=True)
    assert nearer(TRUTH[SPAN], careless[SPAN], TRUTH[SPAN]) == "second"
    assert nearer(TRUTH[SPAN], TRUTH[SPAN], careless[SPAN]) == "first"
    assert nearer(TRUTH[SPAN], None, careless[SPAN]) == "second"
    label = Kind.CRASH_RECOGNITION
    assert nearer(TRUTH[label], as_truth(NO_CRASH)[label], TRUTH[label]) == "second"
