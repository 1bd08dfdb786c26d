"""Scores of predictions against approved answers, per task, as CrashChat's evaluation computes them.

Pure functions on plain values.  A prediction that could not be parsed is wrong and is counted, never dropped;
what a score leaves out is counted beside it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from nltk.translate.bleu_score import SmoothingFunction, corpus_bleu
from rouge_score.rouge_scorer import RougeScorer

from model_assist.crashchat.kinds import (
    CRASH_LOCALIZATION,
    CRASH_RECOGNITION,
    NEGATIVE_TEXTS,
    PRE_CRASH_LOCALIZATION,
    TEXT_KINDS,
)

MICROSECONDS: Final = 1_000_000
THRESHOLDS: Final = (0.3, 0.5, 0.7)
EARLY_TOLERANCE_US: Final = 500_000
"""An onset predicted at most this long before the true one counts as right."""

Scores = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """What was true and what was predicted for one kind of one clip; values have the kind's JSON shape."""

    truth_state: str
    truth: Mapping[str, Any] | None
    predicted_state: str
    predicted: Mapping[str, Any] | None


Record = Mapping[str, Pair]
"""One clip: a pair for every kind that has a true answer."""


def evaluate(records: Sequence[Record]) -> dict[str, Scores]:
    """All scores, keyed by kind; kinds without a single pair are left out."""
    scorers: dict[str, Callable[[Sequence[Record]], Scores]] = {
        CRASH_RECOGNITION: recognition,
        **{kind: partial(text, kind=kind) for kind in TEXT_KINDS},
        CRASH_LOCALIZATION: localization,
        PRE_CRASH_LOCALIZATION: onset,
    }
    return {
        kind: score(records) for kind, score in scorers.items() if any(kind in record for record in records)
    }


def recognition(records: Sequence[Record]) -> Scores:
    """Accuracy, and precision, recall and F1 of "yes" (F1 = 2PR / (P + R); 0 where undefined).

    An unparsable prediction is wrong: a missed crash when the truth is yes, an error of accuracy when it is no.
    """
    pairs = _pairs(records, CRASH_RECOGNITION)
    tp = fp = fn = tn = 0
    for pair in pairs:
        truth, said = _label(pair.truth), _label(pair.predicted) if _usable(pair) else None
        tp += truth == said == "yes"
        tn += truth == said == "no"
        fp += truth == "no" and said == "yes"
        fn += truth == "yes" and said != "yes"
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    return {
        "count": len(pairs),
        "unparsable": _unparsable(pairs),
        "accuracy": _ratio(tp + tn, len(pairs)),
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * precision * recall, precision + recall),
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
        "true_negative": tn,
    }


def text(records: Sequence[Record], kind: str) -> Scores:
    """BLEU and ROUGE of a text kind over all clips, and again over the clips with a crash alone.

    The fixed negative sentences are easy to get word for word, so the first number flatters; CrashChat reports it.
    """
    pairs = [p for p in _pairs(records, kind) if p.truth is not None]
    crash_only = [p for p in pairs if _words(p.truth) != NEGATIVE_TEXTS[kind]]
    return {
        "count": len(pairs),
        "unparsable": _unparsable(pairs),
        **text_overlap(_texts(pairs)),
        "crash_only": {"count": len(crash_only), **text_overlap(_texts(crash_only))},
    }


def text_overlap(pairs: Sequence[tuple[str, str]]) -> Scores:
    """Overlap of (reference, prediction) texts.

    bleu: corpus BLEU-4 on white-space tokens (Papineni et al. 2002) with smoothing method 1 of Chen and Cherry
    (2014).  rouge1, rouge2, rougeL: mean F-measure with Porter stemming (Lin 2004).  exact: equal texts.
    All 0.0 for no pairs.
    """
    if not pairs:
        return {"bleu": 0.0, "rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0, "exact": 0.0}
    references = [[reference.split()] for reference, _ in pairs]
    predictions = [predicted.split() for _, predicted in pairs]
    bleu = 0.0
    if any(predictions):
        bleu = float(corpus_bleu(references, predictions, smoothing_function=SmoothingFunction().method1))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    rouge = [scorer.score(reference, predicted) for reference, predicted in pairs]
    means = {name: _mean(s[name].fmeasure for s in rouge) for name in ("rouge1", "rouge2", "rougeL")}
    return {"bleu": bleu, **means, "exact": _mean(float(r == p) for r, p in pairs)}


def localization(records: Sequence[Record]) -> Scores:
    """Crash spans: mean IoU, AP@30/50/70 (share of clips whose IoU reaches the threshold), boundary errors.

    CrashChat scores clips with a crash only; where the truth is "absent", a predicted span is counted as a
    false alarm and nothing else.  A missing or unparsable prediction has IoU 0.  True spans of zero length can
    reach IoU 1 by exact equality only; their count and the mean without them are given.
    """
    pairs = _pairs(records, CRASH_LOCALIZATION)
    scored = [p for p in pairs if p.truth is not None]
    ious = [_span_iou(p) for p in scored]
    positive = [iou for iou, p in zip(ious, scored, strict=True) if _length(p.truth) > 0]
    errors = [
        (abs(p.predicted["start_us"] - p.truth["start_us"]), abs(p.predicted["end_us"] - p.truth["end_us"]))
        for p in scored
        if p.predicted is not None and p.truth is not None
    ]
    return {
        **_counts(pairs, scored),
        "miou": _mean(ious),
        **_average_precision(ious),
        "zero_length_truth": len(scored) - len(positive),
        "miou_without_zero_length": _mean(positive),
        "start_error_s": _mean(start / MICROSECONDS for start, _ in errors),
        "end_error_s": _mean(end / MICROSECONDS for _, end in errors),
        "boundary_error_count": len(errors),
    }


def onset(records: Sequence[Record]) -> Scores:
    """Pre-crash onset: mean of `onset_score`, its AP@30/50/70, and the error in seconds.

    The score needs the true crash start of the same clip.  Clips without one, and clips whose true onset is not
    before it (time to accident <= 0), are left out and counted.
    """
    rows = [r for r in records if PRE_CRASH_LOCALIZATION in r]
    pairs = [r[PRE_CRASH_LOCALIZATION] for r in rows]
    scored: list[Pair] = []
    scores: list[float] = []
    no_start = no_lead = 0
    for row, pair in zip(rows, pairs, strict=True):
        if pair.truth is None:
            continue
        crash = row.get(CRASH_LOCALIZATION)
        if crash is None or crash.truth is None:
            no_start += 1
        elif crash.truth["start_us"] - pair.truth["at_us"] <= 0:
            no_lead += 1
        else:
            said = pair.predicted["at_us"] if _usable(pair) and pair.predicted is not None else None
            scored.append(pair)
            scores.append(onset_score(pair.truth["at_us"], said, crash.truth["start_us"]))
    errors = [
        (p.predicted["at_us"] - p.truth["at_us"]) / MICROSECONDS
        for p in pairs
        if p.predicted is not None and p.truth is not None
    ]
    return {
        **_counts(pairs, scored),
        "miou": _mean(scores),
        **_average_precision(scores),
        "without_crash_start": no_start,
        "without_lead_time": no_lead,
        "error_s": _mean(abs(e) for e in errors),
        "bias_s": _mean(errors),
        "error_count": len(errors),
    }


def onset_score(truth_us: int, predicted_us: int | None, crash_start_us: int) -> float:
    """CrashChat's score of one onset, by time to accident TTA = crash start - onset.

    0 without a prediction, at or after the crash start, or more than half a second before the true onset; 1
    within that half second up to the true onset; min(TTA, TTA') / max(TTA, TTA') in between.  The true TTA must
    be positive (ValueError).
    """
    if truth_us >= crash_start_us:
        raise ValueError("the true onset must lie before the crash")
    if predicted_us is None or predicted_us >= crash_start_us or predicted_us < truth_us - EARLY_TOLERANCE_US:
        return 0.0
    if predicted_us <= truth_us:
        return 1.0
    true_lead, predicted_lead = crash_start_us - truth_us, crash_start_us - predicted_us
    return min(true_lead, predicted_lead) / max(true_lead, predicted_lead)


def span_iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Intersection over union of two spans; two equal spans of zero length have IoU 1."""
    if a == b:
        return 1.0
    shared = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    joined = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / joined if joined > 0 else 0.0


def _span_iou(pair: Pair) -> float:
    if not _usable(pair) or pair.truth is None or pair.predicted is None:
        return 0.0
    return span_iou(_span(pair.truth), _span(pair.predicted))


def _span(value: Mapping[str, Any]) -> tuple[int, int]:
    return value["start_us"], value["end_us"]


def _length(value: Mapping[str, Any] | None) -> int:
    return 0 if value is None else int(value["end_us"] - value["start_us"])


def _pairs(records: Iterable[Record], kind: str) -> list[Pair]:
    return [record[kind] for record in records if kind in record]


def _usable(pair: Pair) -> bool:
    return pair.predicted_state in ("valued", "out_of_clip") and pair.predicted is not None


def _unparsable(pairs: Iterable[Pair]) -> int:
    return sum(p.predicted_state == "unparsable" for p in pairs)


def _counts(pairs: Sequence[Pair], scored: Sequence[Pair]) -> Scores:
    """Counts that both localisation kinds report; `count` is how many clips the scores are over."""
    return {
        "count": len(scored),
        "unparsable": _unparsable(pairs),
        "truth_absent": sum(p.truth is None for p in pairs),
        "false_alarms": sum(p.truth is None and p.predicted is not None for p in pairs),
        "predicted_absent": sum(p.truth is not None and p.predicted_state == "absent" for p in pairs),
        "out_of_clip": sum(p.predicted_state == "out_of_clip" for p in pairs),
    }


def _average_precision(scores: Sequence[float]) -> Scores:
    """AP@x as CrashChat reports it: the share of clips that score at least x."""
    return {f"ap{round(t * 100)}": _mean(float(s >= t) for s in scores) for t in THRESHOLDS}


def _label(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else str(value["label"])


def _words(value: Mapping[str, Any] | None) -> str:
    return "" if value is None else str(value["text"])


def _texts(pairs: Iterable[Pair]) -> list[tuple[str, str]]:
    return [(_words(p.truth), _words(p.predicted) if _usable(p) else "") for p in pairs]


def _mean(values: Iterable[float]) -> float:
    items = list(values)
    return sum(items) / len(items) if items else 0.0


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
