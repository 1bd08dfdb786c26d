"""The numbers that CrashChat's published evaluation prints, with its own arithmetic and its own omissions.

Formulas and file layouts: CrashChat, evaluation/benchmarks/crash_video_*.py and scripts/eval/compute_*_metrics.py at
its commit af80e343. They differ from ours where a prediction cannot be read or times meet a threshold exactly:
times are floating-point seconds here, so that 1.1 - 0.5 is a little more than 0.6.

- recognition, texts and onsets leave out predictions that cannot be read; ours count them as wrong.
- a span that cannot be read is 0.0 to 0.0, which overlaps nothing but counts; spans the wrong way round are turned.
- a true span of zero length scores 0 even when it is found exactly.
- an onset needs a true crash start above 0.0 s.
"""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from model_assist.crashchat.kinds import (
    CRASH_LOCALIZATION,
    CRASH_RECOGNITION,
    PRE_CRASH_LOCALIZATION,
)
from model_assist.training.metrics.bertscore import BertScorer, not_computed
from model_assist.training.metrics.bleu import ROUGE, bleu, bleu_statistics, rouge_statistics
from model_assist.training.metrics.pairs import MICROSECONDS, MISSING, Pair, Scores, usable

THRESHOLDS: Final = (0.3, 0.5, 0.7)
EARLY_TOLERANCE_S: Final = 0.5

Seconds = tuple[float, float]

_NUMBER: Final = r"([\d.]+)"
_SPAN: Final = re.compile(rf"{_NUMBER}\s*-\s*{_NUMBER}")
_YES: Final = frozenset({"yes", "y", "1", "true"})
_NO: Final = frozenset({"no", "n", "0", "false"})


def read_label(text: str) -> str | None:
    """ "Yes" or "No" where exactly one of the two letter sequences occurs anywhere in the text, else None."""
    words = text.strip().lower()
    yes, no = "yes" in words, "no" in words
    return None if yes == no else "Yes" if yes else "No"


def read_span(text: str) -> Seconds:
    """The first "a - b", else the first two numbers, else (0.0, 0.0): the original has no failure here."""
    together = _SPAN.search(text)
    for found in ([together.groups()] if together else []) + [tuple(re.findall(_NUMBER, text)[:2])]:
        try:
            start, end = (float(part) for part in found)
        except ValueError:  # fewer than two numbers, or dots that make none
            continue
        return start, end
    return 0.0, 0.0


def read_time(text: str) -> float | None:
    """The first number, or None."""
    found = re.search(_NUMBER, text)
    try:
        return float(found[1]) if found else None
    except ValueError:
        return None


def recognition(pairs: Sequence[Pair]) -> Scores:
    """n, accuracy, precision, recall and F1 of "yes" over the pairs whose prediction is a yes or a no."""
    tp = fp = fn = tn = 0
    for pair in pairs:
        if pair.truth is None:
            continue
        truth, said = str(pair.truth["label"]), _label(pair)
        tp += truth == "yes" == said
        fp += truth == "no" and said == "yes"
        fn += truth == "yes" and said == "no"
        tn += truth == "no" == said
    n = tp + fp + fn + tn
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    return {
        "n": n,
        "accuracy": _ratio(tp + tn, n),
        "precision": precision,
        "recall": recall,
        "f1": _ratio(2 * precision * recall, precision + recall),
    }


def texts(pairs: Sequence[Pair], bertscore: BertScorer | None) -> Scores:
    """n, BLEU, and precision, recall and F of ROUGE-1, -2 and -L over pairs with both texts; BERTScore if at hand."""
    said = [
        (true, words)
        for pair in pairs
        for true, words in [(str(pair.truth["text"]).strip() if pair.truth else "", _text(pair))]
        if true and words
    ]
    if not said:
        return {"n": 0}
    overlap = rouge_statistics(said).mean(axis=0)
    names = [f"{name}_{part}" for name in ROUGE for part in ("p", "r", "f")]
    return {
        "n": len(said),
        "bleu": float(bleu(bleu_statistics(said).sum(axis=0))),
        **{name: float(value) for name, value in zip(names, overlap, strict=True)},
        "bertscore": bertscore.scores(said) if bertscore else not_computed(),
    }


def spans(pairs: Sequence[Pair]) -> Scores:
    """n, mIoU and AP@30/50/70 over the pairs with a true span and any prediction at all."""
    ious = [
        iou(_seconds(pair.truth["start_us"], pair.truth["end_us"]), said)
        for pair in pairs
        if pair.truth is not None
        for said in [_span(pair)]
        if said is not None
    ]
    return {"n": len(ious), **_overlaps(ious)} if ious else {"n": 0}


def iou(true: Seconds, said: Seconds) -> float:
    """Intersection over the hull of two spans in seconds, each put in order first; 0.0 where the hull is empty."""
    (a, b), (c, d) = sorted(true), sorted(said)
    shared, hull = max(0.0, min(b, d) - max(a, c)), max(0.0, max(b, d) - min(a, c))
    return shared / hull if hull > 0.0 else 0.0


def onsets(pairs: Sequence[tuple[Pair, int | None]]) -> Scores:
    """n, mIoU and AP@30/50/70 of times to accident, their means and mean absolute error, and what was left out.

    Of pairs with the true crash start in microseconds.
    """
    scores: list[float] = []
    leads: list[tuple[float, float]] = []
    no_start = no_lead = late = early = 0
    for pair, start_us in pairs:
        said = _time(pair)
        if pair.truth is None or pair.predicted_state == MISSING or said is None:
            continue
        if start_us is None or start_us <= 0:
            no_start += 1
            continue
        start, true = start_us / MICROSECONDS, pair.truth["at_us"] / MICROSECONDS
        lead, predicted = start - true, max(start - said, 0.0)
        if lead <= 0.0:
            no_lead += 1
            continue
        leads.append((lead, predicted))
        if said >= start:
            late += 1
            scores.append(0.0)
        elif said < true - EARLY_TOLERANCE_S:
            early += 1
            scores.append(0.0)
        elif said < true:
            scores.append(1.0)
        else:
            scores.append(min(lead, predicted) / max(lead, predicted))
    left_out = {"without_crash_start": no_start, "without_lead_time": no_lead}
    if not scores:
        return {"n": 0, **left_out}
    held = np.array(leads)
    return {
        "n": len(scores),
        **_overlaps(scores),
        "mtta_true_s": float(held[:, 0].mean()),
        "mtta_predicted_s": float(held[:, 1].mean()),
        "tta_mae_s": float(np.abs(held[:, 1] - held[:, 0]).mean()),
        **left_out,
        "late": late,
        "too_early": early,
    }


def _label(pair: Pair) -> str:
    """yes, no, or "" for what is left out."""
    if pair.published is not None:
        words = str(pair.published).strip().lower()
        return "yes" if words in _YES else "no" if words in _NO else ""
    if pair.raw is not None:
        return (read_label(pair.raw) or "").lower()
    return str(pair.predicted["label"]) if usable(pair) and pair.predicted else ""


def _text(pair: Pair) -> str:
    if pair.published is not None:
        return str(pair.published).strip()
    if pair.raw is not None:
        return pair.raw.strip()
    return str(pair.predicted["text"]).strip() if usable(pair) and pair.predicted else ""


def _span(pair: Pair) -> Seconds | None:
    if isinstance(pair.published, tuple):
        return pair.published
    if pair.predicted_state == MISSING:
        return None
    if pair.raw is not None:
        return read_span(pair.raw)
    if usable(pair) and pair.predicted:
        return _seconds(pair.predicted["start_us"], pair.predicted["end_us"])
    return 0.0, 0.0


def _time(pair: Pair) -> float | None:
    if isinstance(pair.published, float | int):
        return float(pair.published)
    if pair.raw is not None:
        return read_time(pair.raw)
    return float(pair.predicted["at_us"] / MICROSECONDS) if usable(pair) and pair.predicted else None


def _seconds(start_us: int, end_us: int) -> Seconds:
    return start_us / MICROSECONDS, end_us / MICROSECONDS


def _overlaps(scores: Sequence[float]) -> Scores:
    held = np.array(scores)
    reached = {f"ap{round(100 * t)}": float((held >= t).mean()) for t in THRESHOLDS}
    return {"miou": sum(scores) / len(scores), **reached}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


READERS: Final = {
    CRASH_RECOGNITION: read_label,
    CRASH_LOCALIZATION: read_span,
    PRE_CRASH_LOCALIZATION: read_time,
}
"""How CrashChat's evaluation reads a response before it writes it down; texts are only stripped."""
