"""Parity with CrashChat's published evaluation: every number below was worked out by hand from its formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu
from rouge_score.rouge_scorer import RougeScorer

from model_assist.crashchat import kinds as k
from model_assist.training.metrics import Pair, Record, evaluate
from model_assist.training.metrics.published import iou, read_label, read_span, read_time
from tests.unit.model_assist.training.metrics.made import label, onsets, span, spans, text, us


def said(kind: str, truth: dict[str, object], raw: str) -> Record:
    """A prediction known by its words alone, which our own parser could not read."""
    return {kind: Pair("valued", truth, "unparsable", None, raw=raw)}


def test_recognition() -> None:
    # left out: the unreadable one.  n = 9: tp 4, fp 1, fn 2, tn 2
    # accuracy 6/9 = .6667; precision 4/5 = .8; recall 4/6 = .6667; F1 = 2*.8*.66667/(1.46667) = .7273
    rows = (
        [label("yes", "yes")] * 4 + [label("no", "yes")] + [label("yes", "no")] * 2 + [label("no", "no")] * 2
    )
    found = evaluate([*rows, label("yes", None)])[k.CRASH_RECOGNITION]
    assert {name: round(value, 4) for name, value in found["published"].items()} == {
        "n": 9,
        "accuracy": 0.6667,
        "precision": 0.8,
        "recall": 0.6667,
        "f1": 0.7273,
    }
    assert found["accuracy"] == pytest.approx(6 / 10)


def test_text() -> None:
    # 1: "a car hits a red truck" (6 words) for "a car hits a truck" (5 words)
    #    matches: 1-runs: a a car hits truck = 5 of 6; 2-runs: "a car" "car hits" "hits a" = 3 of 5;
    #    3-runs: "a car hits" "car hits a" = 2 of 4; 4-runs: "a car hits a" = 1 of 3
    # 2: "no collision." for itself (2 words): 1-runs 2 of 2; 2-runs 1 of 1; 3- and 4-runs 0 of max(1, 0) = 1
    # sums: 7/8, 4/6, 2/5, 1/4; predicted 8 words, reference 7: no brevity penalty
    # BLEU = (7/8 * 4/6 * 2/5 * 1/4) ** (1/4) = (0.0583333) ** 0.25 = 0.491448
    # ROUGE-1: P 5/6, R 5/5, F 10/11 and 1, 1, 1 -> P .91667 R 1 F .954545
    # ROUGE-2: matches "a car" "car hit" "hit a" = 3; P 3/5, R 3/4, F 2*.6*.75/1.35 = .666667, and 1 -> .8 .875 .833333
    # ROUGE-L: longest common run of words in order "a car hits a truck" = 5: as ROUGE-1
    rows = [text("a car hits a truck", "a car hits a red truck"), text("no collision.", "no collision.")]
    found = evaluate([*rows, text("lost", None)])[k.CRASH_DESCRIPTION]["published"]
    assert found.pop("bertscore")["computed"] is False
    assert {name: round(value, 4) for name, value in found.items()} == {
        "n": 2, "bleu": 0.4914, "rouge1_p": 0.9167, "rouge1_r": 1.0, "rouge1_f": 0.9545, "rouge2_p": 0.8,
        "rouge2_r": 0.875, "rouge2_f": 0.8333, "rougeL_p": 0.9167, "rougeL_r": 1.0, "rougeL_f": 0.9545,
    }  # fmt: skip


def test_text_with_nothing_of_four_words_and_too_short() -> None:
    # "car hits truck" for "the car hits truck now" : 3/3, 2/2, 1/1, (0 + 0.1)/1; brevity exp(1 - 5/3)
    # (0.1) ** 0.25 = 0.562341; exp(-2/3) = 0.513417; BLEU 0.288716
    found = evaluate([text("the car hits truck now", "car hits truck")])[k.CRASH_DESCRIPTION]["published"]
    assert round(found["bleu"], 4) == 0.2887


def test_spans() -> None:
    # 1 to 3 for 1 to 3: 1;  2 to 4 for 1 to 3: 1/3;  3.5 to 3 (turned) for 3 to 4: 1/2
    # unreadable: 0 to 0 for 1 to 3: 0;  zero length found exactly, 2 to 2: 0
    # mIoU = (1 + 1/3 + 1/2) / 5 = .3667; AP@30 3/5, AP@50 2/5, AP@70 1/5
    rows = [
        spans(span(1, 3), span(1, 3)),
        spans(span(1, 3), span(2, 4)),
        said(k.CRASH_LOCALIZATION, dict(span(3, 4)), "3.5 - 3"),
        said(k.CRASH_LOCALIZATION, dict(span(1, 3)), "I cannot tell."),
        spans(span(2, 2), span(2, 2)),
    ]
    found = evaluate(rows)[k.CRASH_LOCALIZATION]
    assert {name: round(value, 4) for name, value in found["published"].items()} == {
        "n": 5,
        "miou": 0.3667,
        "ap30": 0.6,
        "ap50": 0.4,
        "ap70": 0.2,
    }
    assert (found["count"], found["unparsable"], found["zero_length_truth"]) == (4, 2, 1)


def test_onsets() -> None:
    # crash at 5.0.  truth 3, said 3: 1;  said 4: TTA 1 of 2 = .5;  said 2.6: early but within .5 s: 1;
    # said 2.4: too early, 0;  said 5: late, 0.   left out: truth 5 (no lead), no crash start, unreadable
    # mIoU = 2.5/5 = .5; AP@30 3/5, AP@50 3/5, AP@70 2/5
    # mTTA true 2, predicted (2 + 1 + 2.4 + 2.6 + 0)/5 = 1.6; MAE (0 + 1 + .4 + .6 + 2)/5 = .8
    rows = [
        onsets(3, 3, 5),
        onsets(3, 4, 5),
        onsets(3, 2.6, 5),
        onsets(3, 2.4, 5),
        onsets(3, 5, 5),
        onsets(5, 4, 5),
        onsets(3, 3, None),
        onsets(3, None, 5),
    ]
    found = evaluate(rows)[k.PRE_CRASH_LOCALIZATION]["published"]
    assert {name: round(value, 4) for name, value in found.items()} == {
        "n": 5,
        "miou": 0.5,
        "ap30": 0.6,
        "ap50": 0.6,
        "ap70": 0.4,
        "mtta_true_s": 2.0,
        "mtta_predicted_s": 1.6,
        "tta_mae_s": 0.8,
        "without_crash_start": 1,
        "without_lead_time": 1,
        "late": 1,
        "too_early": 1,
    }


def test_half_a_second_early_in_floating_point() -> None:
    """1.1 - 0.5 is 0.6000000000000001: the published script calls 0.6 too early, whole microseconds do not."""
    found = evaluate([onsets(1.1, 0.6, 3)])[k.PRE_CRASH_LOCALIZATION]
    assert (found["miou"], found["published"]["miou"]) == (1.0, 0.0)


def test_a_crash_at_the_very_start_has_no_onset_score() -> None:
    found = evaluate([onsets(0, 0, 0)])[k.PRE_CRASH_LOCALIZATION]
    assert (found["published"]["without_crash_start"], found["without_lead_time"]) == (1, 1)
    assert found["count"] == found["published"]["n"] == 0


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("Yes.", "Yes"),
        ("no", "No"),
        ("Yes, nothing else", None),
        ("Not sure", "No"),
        ("maybe", None),
        ("", None),
    ],
)
def test_published_labels(words: str, label: str | None) -> None:
    """'Nothing' and 'not' hold the letters n, o: so the published reading has it."""
    assert read_label(words) == label


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("6.0 - 7.0 seconds", (6.0, 7.0)), ("6.0-7.0s", (6.0, 7.0)), ("start: 6.0, end: 7.0", (6.0, 7.0)),
        ("at 3 s", (0.0, 0.0)), ("", (0.0, 0.0)), ("1.2.3 - 4", (0.0, 0.0)), ("7 - 6", (7.0, 6.0)),
    ],
)  # fmt: skip
def test_published_spans(words: str, found: tuple[float, float]) -> None:
    assert read_span(words) == found


def test_published_times() -> None:
    assert [read_time(words) for words in ("1.0 seconds", "timestamp: 3.4", "never", "1.2.3")] == [
        1.0,
        3.4,
        None,
        None,
    ]


def test_a_prediction_file_s_own_fields_come_first() -> None:
    pair = Pair(
        "valued", dict(span(1, 3)), "valued", span(1, 3), raw="1.0 - 3.0 seconds", published=(2.0, 4.0)
    )
    found = evaluate([{k.CRASH_LOCALIZATION: pair}])[k.CRASH_LOCALIZATION]
    assert (found["miou"], round(found["published"]["miou"], 4)) == (1.0, 0.3333)
    pair = Pair("valued", {"at_us": us(1)}, "unparsable", None, published=1.0, crash_start_us=us(2))
    found = evaluate([{k.PRE_CRASH_LOCALIZATION: pair}])[k.PRE_CRASH_LOCALIZATION]
    assert (found["miou"], found["published"]["miou"]) == (0.0, 1.0)
    labels = [
        Pair("valued", {"label": "yes"}, "valued", {"label": "yes"}, published=p) for p in ("Y", "true", "?")
    ]
    found = evaluate([{k.CRASH_RECOGNITION: pair} for pair in labels])[k.CRASH_RECOGNITION]
    assert found["published"]["n"] == 2


def test_the_hull_of_spans_is_never_divided_by_when_empty() -> None:
    assert iou((2.0, 2.0), (2.0, 2.0)) == 0.0
    assert iou((1.0, 3.0), (5.0, 6.0)) == 0.0


sentences = st.lists(st.sampled_from(["a", "car", "hits", "cars", "truck", "the", "no"]), max_size=9).map(
    " ".join
)


@given(st.lists(st.tuples(sentences, sentences), min_size=1, max_size=5))
def test_texts_equal_the_libraries_that_the_published_scripts_call(pairs: list[tuple[str, str]]) -> None:
    records = [{k.CAUSAL_REASONING: Pair("valued", {"text": t}, "valued", {"text": s})} for t, s in pairs]
    found = evaluate(records)[k.CAUSAL_REASONING]
    kept = [(true, words) for true, words in pairs if true and words]
    assert found["published"]["n"] == len(kept)
    for scores, held in ((found, pairs), (found["published"], kept)):
        if not held:
            continue
        expected = corpus_bleu(
            [[true.split()] for true, _ in held], [words.split() for _, words in held],
            smoothing_function=SmoothingFunction().method1,
        )  # fmt: skip
        assert scores["bleu"] == pytest.approx(expected, abs=1e-12)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    mean = sum(scorer.score(true, words)["rougeL"].fmeasure for true, words in pairs) / len(pairs)
    assert found["rougeL"] == pytest.approx(mean, abs=1e-12)
