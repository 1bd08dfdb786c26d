"""Crash recognition: yes or no."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model_assist.crashchat.kinds import CRASH_RECOGNITION
from model_assist.training.metrics import published
from model_assist.training.metrics.bootstrap import Bootstrap, with_intervals
from model_assist.training.metrics.pairs import Floats, Record, Scores, Units, counts, ratio, usable


def recognition(
    records: Sequence[Record], places: Sequence[int], units: Units, *, bootstrap: Bootstrap | None = None
) -> Scores:
    """Accuracy, and precision, recall and F1 of "yes" (F1 = 2PR / (P + R); 0 where undefined).

    An unparsable or missing prediction is wrong: a missed crash when the truth is yes, an error of accuracy when it
    is no. truth_yes and truth_no tell when a score over one source alone means nothing.
    """
    pairs = [records[place][CRASH_RECOGNITION] for place in places]
    truth = [_label(pair.truth) for pair in pairs]
    said = [_label(pair.predicted) if usable(pair) else "" for pair in pairs]
    hits = np.array(
        [
            (t == s == "yes", t == "no" and s == "yes", t == "yes" and s != "yes", t == s == "no")
            for t, s in zip(truth, said, strict=True)
        ],
        dtype=np.float64,
    ).reshape(-1, 4)

    def measure(weights: Floats) -> dict[str, Floats]:
        return from_table(*(weights @ hits).T, clips=weights.sum(axis=1))

    tp, fp, fn, tn = (int(n) for n in hits.sum(axis=0))
    return {
        "count": len(pairs),
        **counts(pairs),
        **with_intervals(measure, len(pairs), units.of(places), units.name, bootstrap),
        "true_positive": tp,
        "false_positive": fp,
        "false_negative": fn,
        "true_negative": tn,
        "truth_yes": truth.count("yes"),
        "truth_no": truth.count("no"),
        "published": published.recognition(pairs),
    }


def from_table(tp: Floats, fp: Floats, fn: Floats, tn: Floats, *, clips: Floats) -> dict[str, Floats]:
    """The four measures from counts of hits, false alarms, misses and right rejections among `clips`."""
    precision, recall = ratio(tp, tp + fp), ratio(tp, tp + fn)
    return {
        "accuracy": ratio(tp + tn, clips),
        "precision": precision,
        "recall": recall,
        "f1": ratio(2 * precision * recall, precision + recall),
    }


def _label(value: Mapping[str, Any] | None) -> str:
    return "" if value is None else str(value["label"])
