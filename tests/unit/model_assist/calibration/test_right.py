import pytest

from model_assist.calibration.right import is_right, plain, rule_of
from model_assist.crashchat import kinds as k


def span(start_us: int, end_us: int) -> dict[str, int]:
    return {"start_us": start_us, "end_us": end_us}


@pytest.mark.parametrize(
    ("kind", "true", "said", "right"),
    [
        (k.CRASH_RECOGNITION, {"label": "yes"}, {"label": "yes"}, True),
        (k.CRASH_RECOGNITION, {"label": "yes"}, {"label": "no"}, False),
        (k.CRASH_LOCALIZATION, span(0, 400_000), span(0, 200_000), True),  # exactly a half
        (k.CRASH_LOCALIZATION, span(0, 400_000), span(0, 199_999), False),
        (k.CRASH_LOCALIZATION, span(5, 5), span(5, 5), True),
        (k.CRASH_LOCALIZATION, span(5, 5), span(6, 6), False),
        (k.PRE_CRASH_LOCALIZATION, {"at_us": 1_000_000}, {"at_us": 500_000}, True),
        (k.PRE_CRASH_LOCALIZATION, {"at_us": 1_000_000}, {"at_us": 1_500_001}, False),
        (k.CAUSAL_REASONING, {"text": "Rain,  and SNOW."}, {"text": " rain, and snow. "}, True),
        (k.CAUSAL_REASONING, {"text": "Rain."}, {"text": "Rain"}, False),
    ],
)
def test_when_an_answer_is_right(
    kind: str, true: dict[str, object], said: dict[str, object], right: bool
) -> None:
    assert is_right(kind, "valued", true, "valued", said) is right


@pytest.mark.parametrize("kind", k.PERCEPTION)
def test_nothing_is_right_where_there_is_nothing(kind: str) -> None:
    value = span(0, 1) if kind == k.CRASH_LOCALIZATION else {"at_us": 1}
    assert is_right(kind, "absent", None, "absent", None)
    assert not is_right(kind, "absent", None, "valued", value)
    assert not is_right(kind, "valued", value, "absent", None)
    assert not is_right(kind, "absent", None, "unparsable", None)


def test_every_kind_has_a_rule_in_words() -> None:
    assert rule_of(k.CRASH_LOCALIZATION) == "IoU of at least 0.5"
    assert rule_of(k.PRE_CRASH_LOCALIZATION) == "at most 0.5 s away"
    assert all("words" in rule_of(kind) for kind in k.TEXT_KINDS)
    assert plain(" A\n b ") == "a b"
