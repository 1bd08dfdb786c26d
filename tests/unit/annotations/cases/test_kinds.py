from typing import Any

import pytest

from annotations.cases.kinds import NEGATIVE_TEXT, TEXT_KINDS, TIME_KINDS, Kind, value_problem
from tests.factories import CRASH, NO_CRASH


def test_each_kind_is_recognition_text_or_time() -> None:
    assert {Kind.CRASH_RECOGNITION, *TEXT_KINDS, *TIME_KINDS} == set(Kind)
    assert set(NEGATIVE_TEXT) == set(TEXT_KINDS)


@pytest.mark.parametrize("said", [*CRASH.items(), *NO_CRASH.items()], ids=lambda item: item[0])
def test_proper_answers_have_no_problem(said: Any) -> None:
    kind, what = said
    assert value_problem(kind, what.state, what.value) is None


@pytest.mark.parametrize(
    ("kind", "state", "value"),
    [
        ("crash_recognition", "valued", {"label": "maybe"}),
        ("crash_recognition", "valued", {"label": "yes", "sure": True}),
        ("crash_recognition", "valued", None),
        ("crash_recognition", "valued", "yes"),
        ("crash_recognition", "absent", None),
        ("crash_description", "valued", {"text": "  "}),
        ("crash_description", "valued", {"text": 3}),
        ("crash_description", "valued", {}),
        ("causal_reasoning", "absent", None),
        ("crash_localization", "valued", {"start_us": 1}),
        ("crash_localization", "valued", {"start_us": 1.0, "end_us": 2}),
        ("crash_localization", "valued", {"start_us": True, "end_us": 2}),
        ("crash_localization", "valued", {"start_us": -1, "end_us": 2}),
        ("crash_localization", "absent", {"start_us": 1, "end_us": 2}),
        ("pre_crash_localization", "valued", {"at_us": "1"}),
        ("pre_crash_localization", "out_of_clip", None),
        ("pre_crash_localization", "unparsable", {"at_us": 1}),
    ],
)
def test_a_value_of_another_shape_is_told(kind: str, state: str, value: Any) -> None:
    assert value_problem(kind, state, value)


@pytest.mark.parametrize("kind", list(Kind))
def test_anything_a_model_says_may_be_unparsable(kind: str) -> None:
    assert value_problem(kind, "unparsable", None) is None


def test_a_time_beyond_the_clip_keeps_its_value() -> None:
    assert value_problem("pre_crash_localization", "out_of_clip", {"at_us": 99}) is None
