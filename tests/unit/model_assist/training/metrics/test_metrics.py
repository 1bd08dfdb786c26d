"""Scores by hand-worked examples and by properties."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from model_assist.crashchat import kinds as k
from model_assist.training.metrics import Bootstrap, Pair, evaluate, onset_score, span_iou, text_overlap
from tests.unit.model_assist.training.metrics.made import SECOND, label, onsets, span, spans, text

times = st.integers(min_value=0, max_value=60 * SECOND)


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
        "count": 3,
        "unparsable": 1,
        "predicted_absent": 1,
        "truth_absent": 2,
        "false_alarms": 1,
    }
    assert (scores["out_of_clip"], scores["zero_length_truth"], scores["boundary_error_count"]) == (1, 1, 1)
    assert scores["miou"] == pytest.approx((0 + 0 + 1 / 4) / 3)
    # the instant at 2 s lies in the predicted 2 to 3: no start error, 1 s at the end
    assert scores["zero_length"] == {
        "count": 1,
        "read": 1,
        "exact": 0,
        "inside": 1,
        "start_error_s": 0.0,
        "end_error_s": 1.0,
    }


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


def test_boundary_errors_by_hand() -> None:
    # start errors +0.5, -1, 0, +2: mean of the absolutes 3.5 / 4, median (0.5 + 1) / 2, bias 1.5 / 4
    # end errors 0, 0, -0.5, +4: mean 4.5 / 4, median (0 + 0.5) / 2, bias 3.5 / 4
    rows = [
        spans(span(2, 4), span(2.5, 4)),
        spans(span(2, 4), span(1, 4)),
        spans(span(2, 4), span(2, 3.5)),
        spans(span(2, 4), span(4, 8)),
        spans(span(2, 4), None),
    ]
    scores = evaluate(rows)[k.CRASH_LOCALIZATION]
    assert scores["boundary_error_count"] == 4
    names = [f"{end}_{what}_s" for end in ("start", "end") for what in ("error", "error_median", "bias")]
    assert [scores[name] for name in names] == pytest.approx([0.875, 0.75, 0.375, 1.125, 0.25, 0.875])


def test_thresholds_are_met_exactly() -> None:
    """0.2 s of 0.4 s is a half, but (0.3 - 0.1) / (0.5 - 0.1) in floating point is a little less."""
    scores = evaluate([spans(span(0.1, 0.5), span(0.1, 0.3))])[k.CRASH_LOCALIZATION]
    assert (scores["ap50"], scores["published"]["ap50"]) == (1.0, 0.0)


def test_what_is_missing_is_wrong_and_counted() -> None:
    lost = Pair("valued", {"label": "yes"}, "missing", None)
    scores = evaluate([label("yes", "yes"), {k.CRASH_RECOGNITION: lost}])[k.CRASH_RECOGNITION]
    assert (scores["count"], scores["missing"], scores["accuracy"], scores["recall"]) == (2, 1, 0.5, 0.5)
    assert scores["published"] == {"n": 1, "accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}


def test_within_one_source_a_confound_shows() -> None:
    """All crashes come from A, all others from B: saying the source scores as well as seeing."""
    rows = [label("yes", "yes")] * 3 + [label("no", "no")] * 2
    scores = evaluate(rows, sources=["A"] * 3 + ["B"] * 2)[k.CRASH_RECOGNITION]
    assert scores["f1"] == 1.0
    assert scores["source_alone"] == {"count": 5, "accuracy": 1.0, "precision": 1.0, "recall": 1.0, "f1": 1.0}
    a, b = scores["by_source"]
    assert (a["source"], a["count"], a["truth_no"]) == ("A", 3, 0)
    assert (b["source"], b["count"], b["truth_yes"]) == ("B", 2, 0)


def test_where_sources_hold_both_answers_the_source_alone_knows_little() -> None:
    # A: 2 yes, 1 no -> always yes; B: 1 yes, 2 no -> always no: 4 of 6, tp 2, fp 1, fn 1
    rows = [label("yes", "no"), label("yes", "no"), label("no", "no")] * 2
    rows[3] = label("no", "no")
    scores = evaluate(rows, sources=["A"] * 3 + ["B"] * 3)[k.CRASH_RECOGNITION]
    found = scores["source_alone"]
    assert [found[n] for n in ("accuracy", "precision", "recall", "f1")] == pytest.approx(
        [4 / 6, 2 / 3, 2 / 3, 2 / 3]
    )


def test_scores_within_a_source_are_those_of_its_clips_alone() -> None:
    rows = [spans(span(1, 3), span(1, 3)), spans(span(1, 3), span(2, 4)), spans(span(1, 3), span(1, 2))]
    whole = evaluate(rows, sources=["A", "B", "B"])[k.CRASH_LOCALIZATION]
    alone = evaluate(rows[1:])[k.CRASH_LOCALIZATION]
    assert whole["by_source"][1] == {"source": "B", **alone}


def test_sources_and_recordings_must_fit() -> None:
    with pytest.raises(ValueError, match="1 sources for 2 records"):
        evaluate([label("yes", "yes")] * 2, sources=["A"])
    with pytest.raises(ValueError, match="3 recordings for 2 records"):
        evaluate([label("yes", "yes")] * 2, recordings=["A"] * 3)


def test_intervals_are_there_when_asked_for() -> None:
    rows = [label("yes", "yes"), label("yes", "no"), label("no", "no"), label("no", "yes")] * 5
    scores = evaluate(rows, bootstrap=Bootstrap(resamples=200, seed=3))[k.CRASH_RECOGNITION]
    low, high = scores["intervals"]["accuracy"]
    assert low < scores["accuracy"] < high
    assert "200 resamples of 20 clips, seed 3" in scores["intervals"]["how"]
    assert "intervals" not in evaluate(rows)[k.CRASH_RECOGNITION]
    assert "intervals" not in evaluate(rows[:1], bootstrap=Bootstrap())[k.CRASH_RECOGNITION]


def test_every_kind_has_intervals() -> None:
    rows = [
        {**label("yes", "yes"), **text("a b c", "a b"), **onsets(1, 1.5, 3)},
        {**label("no", "yes"), **text("d e f", "d e f"), **onsets(1, 1, 3)},
    ] * 4
    for kind, scores in evaluate(rows, bootstrap=Bootstrap(resamples=50)).items():
        measures = scores["intervals"].keys() - {"how"}
        assert measures, kind
        for name in measures:
            low, high = scores["intervals"][name]
            assert low - 1e-9 <= scores[name] <= high + 1e-9, (kind, name)
    onset = evaluate(rows, bootstrap=Bootstrap(resamples=50))[k.PRE_CRASH_LOCALIZATION]
    assert {"miou", "error_s", "exact"} <= onset["intervals"].keys()


def test_distinct_answers_are_counted() -> None:
    found = evaluate([text("a", "a"), text("b", "a"), text("b", None)])[k.CRASH_DESCRIPTION]
    assert (found["distinct_truths"], found["distinct_predictions"]) == (2, 1)


def test_short_references_keep_bleu_from_one() -> None:
    # "no collision." twice: 1-runs 4 of 4, 2-runs 2 of 2, 3- and 4-runs (0 + 0.1) of 1 + 1: (0.05 * 0.05) ** 0.25
    short = evaluate([text("no collision.", "no collision.")] * 2)[k.CRASH_DESCRIPTION]
    assert short["bleu"] == short["bleu_ceiling"] == pytest.approx(0.05**0.5)
    long = evaluate([text("a car hits a truck", "no")])[k.CRASH_DESCRIPTION]
    assert (long["bleu"], long["bleu_ceiling"]) == (0.0, pytest.approx(1.0))
