"""From traces to answers: what samples agree on, and what is never asked."""

from typing import Any

import pytest

from model_assist.crashchat import kinds as k
from model_assist.crashchat.answers import KindAnswer
from model_assist.crashchat.model import LoadedModel
from model_assist.crashchat.prefix import Trace
from model_assist.crashchat.reading import (
    CUT_OFF,
    agreement,
    closed_answer,
    read_answer,
    says_yes,
    with_agreement,
)


def answer(kind: str, value: dict[str, Any] | None, text: str = "", state: k.State = "valued") -> KindAnswer:
    return KindAnswer(kind, text, state, value, "", 0.5, {"tokens": 3}, "linguistic", "v")


def spelled(loaded: LoadedModel, kind: str, text: str, *, ended: bool = True) -> KindAnswer:
    tokens = loaded.tokenizer.encode(text, add_special_tokens=False)
    trace = Trace(tokens, [-0.1] * len(tokens), p_yes=0.9, p_no=0.05, ended=ended)
    return read_answer(
        kind, trace, tokenizer=loaded.tokenizer, question="What?", adapter="a", duration_us=2_000_000
    )


def test_cut_off_answers_are_usable_as_text_only(bare: LoadedModel) -> None:
    cut = spelled(bare, k.CRASH_LOCALIZATION, "0.5 - 1.2 seconds", ended=False)
    assert (cut.state, cut.value, cut.reason) == ("unparsable", None, CUT_OFF)
    text = spelled(bare, k.CAUSAL_REASONING, "It braked too", ended=False)
    assert (text.state, text.reason) == ("valued", CUT_OFF)
    assert spelled(bare, k.CRASH_LOCALIZATION, "0.5 - 1.2 seconds").state == "valued"


def test_an_answer_that_misses_the_trained_form_is_marked(bare: LoadedModel) -> None:
    trained = spelled(bare, k.CRASH_LOCALIZATION, "0.5 - 1.2 seconds")
    other = spelled(bare, k.CRASH_LOCALIZATION, "from 0.5 to 1.2 s")
    assert trained.value == other.value
    assert "off_format" not in trained.confidence_detail
    assert other.confidence_detail["off_format"] is True


@pytest.mark.parametrize(("text", "open_"), [("Yes", True), ("No", False), ("perhaps", False)])
def test_only_yes_opens_the_gate(bare: LoadedModel, text: str, open_: bool) -> None:
    assert says_yes(spelled(bare, k.CRASH_RECOGNITION, text)) is open_


def test_a_closed_answer_says_that_it_was_not_asked() -> None:
    closed = closed_answer(
        k.CRASH_LOCALIZATION, answer(k.CRASH_RECOGNITION, {"label": "no"}), question="When?", adapter="p"
    )
    assert (closed.state, closed.raw_text, closed.adapter, closed.confidence) == ("absent", "", "p", 0.5)
    assert "not asked" in closed.reason
    assert closed.confidence_detail == {"gated": True, "recognition_state": "valued"}


def span(start: int, end: int) -> KindAnswer:
    return answer(k.CRASH_LOCALIZATION, {"start_us": start, "end_us": end})


@pytest.mark.parametrize(
    ("greedy", "samples", "share"),
    [
        (answer(k.CRASH_RECOGNITION, {"label": "yes"}), ["yes", "no", "yes", "yes"], 0.75),
        (
            span(1_000_000, 3_000_000),
            [span(1_000_000, 3_000_000), span(2_000_000, 4_000_000)],
            (1 + 1 / 3) / 2,
        ),
        (span(5, 5), [span(5, 5), span(5, 6)], 0.5),
        (span(0, 1), [span(2, 3)], 0.0),
    ],
)
def test_agreement_by_kind(greedy: KindAnswer, samples: list[Any], share: float) -> None:
    given = [s if isinstance(s, KindAnswer) else answer(greedy.kind, {"label": s}) for s in samples]
    assert agreement(greedy, given) == pytest.approx(share)


def test_agreement_of_onsets_texts_and_missing_values() -> None:
    onset = answer(k.PRE_CRASH_LOCALIZATION, {"at_us": 1_000_000})
    near, far = (answer(k.PRE_CRASH_LOCALIZATION, {"at_us": n}) for n in (1_500_000, 1_500_001))
    assert agreement(onset, [near, far]) == 0.5
    text = answer(k.CAUSAL_REASONING, {"text": "x"}, "The car braked late.")
    other = answer(k.CAUSAL_REASONING, {"text": "x"}, "the CAR braked, too late")
    assert agreement(text, [other]) == pytest.approx(2 * 4 / 9)
    absent = answer(k.CRASH_LOCALIZATION, None, state="absent")
    lost = answer(k.CRASH_LOCALIZATION, None, state="unparsable")
    assert agreement(absent, [absent, span(0, 1), lost]) == pytest.approx(1 / 3)
    assert agreement(lost, [lost]) == 0.0


def test_agreement_is_recorded_beside_the_rest() -> None:
    greedy = answer(k.CRASH_RECOGNITION, {"label": "yes"})
    found = with_agreement(greedy, [greedy, greedy], temperature=0.7, seed=3)
    assert found.confidence_detail == {
        "tokens": 3,
        "agreement": {"share": 1.0, "samples": 2, "temperature": 0.7, "seed": 3},
    }
    assert greedy.confidence_detail == {"tokens": 3}
