"""Scores by hand-worked examples and by properties."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from model_assist.crashchat import kinds as k
from model_assist.training.metrics import Pair, Record, evaluate, onset_score, span_iou, text_overlap

WRONG = ("unparsable", None)
SECOND = 1_000_000
times = st.integers(min_value=0, max_value=60 * SECOND)


def label(truth: str, said: str | None) -> Record:
    predicted = ("valued", {"label": said}) if said else WRONG
    return {k.CRASH_RECOGNITION: Pair("valued", {"label": truth}, *predicted)}


def text(truth: str, said: str | None, kind: str = k.CRASH_DESCRIPTION) -> Record:
    predicted = ("valued", {"text": said}) if said else WRONG
    return {kind: Pair("valued", {"text": truth}, *predicted)}


def span(start: float, end: float) -> dict[str, int]:
    return {"start_us": round(start * SECOND), "end_us": round(end * SECOND)}


def spans(truth: dict[str, int] | None, said: dict[str, int] | None, state: str = "valued") -> Record:
    return {
        k.CRASH_LOCALIZATION: Pair(
            "valued" if truth else "absent",
            truth,
            state if said else ("absent" if state == "absent" else "unparsable"),
            said,
        )
    }


def onsets(truth: float, said: float | None, crash: float | None) -> Record:
    predicted = ("valued", {"at_us": round(said * SECOND)}) if said is not None else WRONG
    record = {k.PRE_CRASH_LOCALIZATION: Pair("valued", {"at_us": round(truth * SECOND)}, *predicted)}
    if crash is not None:
        record |= spans(span(crash, crash + 1), span(crash, crash + 1))
    return record


def test_nothing_gives_nothing() -> None:
    assert evaluate([]) == {}
    assert set(evaluate([label("yes", "yes"), text("a", "a")])) == {k.CRASH_RECOGNITION, k.CRASH_DESCRIPTION}


def test_recognition_by_hand() -> None:
    rows = [
        label("yes", "yes"),
        label("yes", "yes"),
        label("yes", "no"),
        label("no", "yes"),
        label("no", "no"),
    ]
    scores = evaluate(rows)[k.CRASH_RECOGNITION]
    assert scores["accuracy"] == pytest.approx(3 / 5)
    assert scores["precision"] == scores["recall"] == scores["f1"] == pytest.approx(2 / 3)


def test_unparsable_recognition_is_wrong_either_way() -> None:
    scores = evaluate([label("yes", None), label("no", None), label("yes", "yes")])[k.CRASH_RECOGNITION]
    assert scores["unparsable"] == 2
    assert scores["accuracy"] == pytest.approx(1 / 3)
    assert (scores["recall"], scores["precision"]) == (0.5, 1.0)
    assert evaluate([label("no", "no")])[k.CRASH_RECOGNITION]["f1"] == 0.0


@given(st.lists(st.tuples(st.sampled_from(["yes", "no"]), st.sampled_from(["yes", "no"])), min_size=1))
def test_recognition_agrees_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    truth, said = zip(*pairs, strict=True)
    scores = evaluate([label(t, s) for t, s in pairs])[k.CRASH_RECOGNITION]
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, said, pos_label="yes", average="binary", zero_division=0.0
    )
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert [scores["precision"], scores["recall"], scores["f1"]] == pytest.approx([precision, recall, f1])


def test_text_by_hand() -> None:
    scores = evaluate([text("car hits truck", "car hits truck"), text("no collision.", "no collision.")])
    found = scores[k.CRASH_DESCRIPTION]
    assert found["exact"] == found["rouge1"] == found["rougeL"] == 1.0
    assert (found["count"], found["crash_only"]["count"]) == (2, 1)
    stemmed = text_overlap([("cars hitting trucks", "car hits truck")])
    assert stemmed["rouge1"] == 1.0
    assert stemmed["exact"] == 0.0


def test_bleu_is_smoothed_by_method_one() -> None:
    reference, said = "the red car hits the white van", "a red car hits a van"
    expected = sentence_bleu(
        [reference.split()], said.split(), smoothing_function=SmoothingFunction().method1
    )
    assert text_overlap([(reference, said)])["bleu"] == pytest.approx(expected)


def test_unparsable_text_scores_nothing_and_is_counted() -> None:
    scores = evaluate([text("car hits truck", None), text("no collision.", None)])[k.CRASH_DESCRIPTION]
    assert (scores["bleu"], scores["rouge1"], scores["unparsable"]) == (0.0, 0.0, 2)
    assert text_overlap([])["bleu"] == 0.0


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
def test_text_scores_stay_between_zero_and_one(pairs: list[tuple[str, str]]) -> None:
    assert all(0.0 <= v <= 1.0 + 1e-9 for v in text_overlap(pairs).values())


def test_spans_by_hand() -> None:
    rows = [
        spans(span(1, 3), span(1, 3)),
        spans(span(1, 3), span(2, 4)),
        spans(span(1, 3), span(1, 2)),
        spans(span(1, 3), span(5, 6)),
    ]
    scores = evaluate(rows)[k.CRASH_LOCALIZATION]
    assert scores["miou"] == pytest.approx((1 + 1 / 3 + 1 / 2 + 0) / 4)
    assert (scores["ap30"], scores["ap50"], scores["ap70"]) == (0.75, 0.5, 0.25)
    assert scores["start_error_s"] == pytest.approx((0 + 1 + 0 + 4) / 4)
    assert scores["end_error_s"] == pytest.approx((0 + 1 + 1 + 3) / 4)


def test_what_spans_leave_out_is_counted() -> None:
    rows = [
        spans(span(1, 3), None),
        spans(span(1, 3), None, "absent"),
        spans(None, span(1, 2)),
        spans(None, None, "absent"),
        spans(span(2, 2), span(2, 3)),
        spans(span(1, 3), span(1, 9), "out_of_clip"),
    ]
    scores = evaluate(rows)[k.CRASH_LOCALIZATION]
    counted = {
        n: scores[n] for n in ("count", "unparsable", "predicted_absent", "truth_absent", "false_alarms")
    }
    assert counted == {
        "count": 4,
        "unparsable": 1,
        "predicted_absent": 1,
        "truth_absent": 2,
        "false_alarms": 1,
    }
    assert (scores["out_of_clip"], scores["zero_length_truth"], scores["boundary_error_count"]) == (1, 1, 2)
    assert scores["miou"] == pytest.approx((0 + 0 + 0 + 1 / 4) / 4)
    assert scores["miou_without_zero_length"] == pytest.approx((1 / 4) / 3)


@given(times, times, times, times)
def test_iou_is_symmetric_and_bounded(a: int, b: int, c: int, d: int) -> None:
    one, other = tuple(sorted((a, b))), tuple(sorted((c, d)))
    value = span_iou((one[0], one[1]), (other[0], other[1]))
    assert 0.0 <= value <= 1.0
    assert value == span_iou((other[0], other[1]), (one[0], one[1]))
    assert (value == 1.0) == (one == other)


@pytest.mark.parametrize(
    ("said", "score"),
    [(3.0, 1.0), (2.5, 1.0), (2.499999, 0.0), (3.5, 0.75), (4.0, 0.5), (5.0, 0.0), (6.0, 0.0), (None, 0.0)],
)
def test_onset_rule(said: float | None, score: float) -> None:
    predicted = None if said is None else round(said * SECOND)
    assert onset_score(3 * SECOND, predicted, 5 * SECOND) == pytest.approx(score)


@given(times, times, times)
def test_onset_scores_are_bounded(truth: int, said: int, crash: int) -> None:
    assume(truth < crash)
    assert 0.0 <= onset_score(truth, said, crash) <= 1.0
    assert onset_score(truth, truth, crash) == 1.0
    with pytest.raises(ValueError, match="before the crash"):
        onset_score(crash, said, crash)


def test_onsets_by_hand() -> None:
    rows = [
        onsets(3, 3, 5),
        onsets(3, 4, 5),
        onsets(3, None, 5),
        onsets(5, 4, 5),
        onsets(1, 1, None),
        {k.PRE_CRASH_LOCALIZATION: Pair("absent", None, "valued", {"at_us": 1})},
    ]
    scores = evaluate(rows)[k.PRE_CRASH_LOCALIZATION]
    assert scores["miou"] == pytest.approx(0.5)
    assert (scores["ap30"], scores["ap50"], scores["ap70"]) == pytest.approx((2 / 3, 2 / 3, 1 / 3))
    counted = {
        n: scores[n]
        for n in ("count", "without_crash_start", "without_lead_time", "unparsable", "false_alarms")
    }
    assert counted == {
        "count": 3,
        "without_crash_start": 1,
        "without_lead_time": 1,
        "unparsable": 1,
        "false_alarms": 1,
    }
    assert scores["error_s"] == pytest.approx((0 + 1 + 1 + 0) / 4)
    assert scores["bias_s"] == pytest.approx(0.0)
