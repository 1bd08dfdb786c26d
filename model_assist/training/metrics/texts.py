"""The three text kinds: overlap of words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from model_assist.crashchat.kinds import NEGATIVE_TEXTS
from model_assist.training.metrics import published
from model_assist.training.metrics.bertscore import BertScorer, not_computed
from model_assist.training.metrics.bleu import bleu, bleu_statistics, rouge_statistics
from model_assist.training.metrics.bootstrap import Bootstrap, Measure, measured, with_intervals
from model_assist.training.metrics.pairs import Floats, Pair, Record, Scores, Units, counts, ratio, usable


def texts(
    records: Sequence[Record],
    places: Sequence[int],
    units: Units,
    *,
    kind: str,
    bootstrap: Bootstrap | None = None,
    bertscore: BertScorer | None = None,
) -> Scores:
    """BLEU, ROUGE and exact match of a text kind over all clips, and again over the clips with a crash alone.

    The fixed negative sentences are easy to get word for word, so the first number flatters; CrashChat reports it.
    distinct_truths and distinct_predictions tell how nearly the answers come from a closed list.
    """
    held = [place for place in places if records[place][kind].truth is not None]
    pairs = [records[place][kind] for place in held]
    said = _said(pairs)
    crash = [row for row, (true, _) in enumerate(said) if true != NEGATIVE_TEXTS[kind]]
    return {
        "count": len(pairs),
        **counts(pairs),
        **_scored(said, held, units, bootstrap),
        "bertscore": bertscore.scores(said) if bertscore else not_computed(),
        "distinct_truths": len({true for true, _ in said}),
        "distinct_predictions": len({words for _, words in said if words}),
        "crash_only": {
            "count": len(crash),
            **_scored([said[row] for row in crash], [held[row] for row in crash], units, bootstrap),
        },
        "published": published.texts(pairs, bertscore),
    }


def text_overlap(pairs: Sequence[tuple[str, str]]) -> Scores:
    """Overlap of (reference, prediction) texts; all 0.0 for no pairs.

    bleu: corpus BLEU-4 on white-space tokens with smoothing method 1. bleu_ceiling: what the references themselves
    would score as predictions; below 1 where references are shorter than four words, because nltk counts a run of
    four in them that can never match. rouge1, rouge2, rougeL: mean F-measure with Porter stemming. exact: equal
    texts but for the space around them.
    """
    return dict(measured(_measure(pairs), len(pairs)))


def _scored(
    said: Sequence[tuple[str, str]], places: Sequence[int], units: Units, bootstrap: Bootstrap | None
) -> Scores:
    return with_intervals(_measure(said), len(said), units.of(places), units.name, bootstrap)


def _measure(pairs: Sequence[tuple[str, str]]) -> Measure:
    overlap, perfect = bleu_statistics(pairs), bleu_statistics((true, true) for true, _ in pairs)
    fmeasures = rouge_statistics(pairs)[:, 2::3]
    exact = np.array([[float(true.strip() == said.strip())] for true, said in pairs]).reshape(-1, 1)
    means = np.concatenate([fmeasures, exact], axis=1)

    def measure(weights: Floats) -> dict[str, Floats]:
        average = ratio(weights @ means, weights.sum(axis=1, keepdims=True)).T
        return {
            "bleu": bleu(weights @ overlap),
            "bleu_ceiling": bleu(weights @ perfect),
            **dict(zip(("rouge1", "rouge2", "rougeL", "exact"), average, strict=True)),
        }

    return measure


def _said(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(_words(p.truth), _words(p.predicted) if usable(p) else "") for p in pairs]


def _words(value: Mapping[str, Any] | None) -> str:
    return "" if value is None else str(value["text"])
