"""BLEU and ROUGE as sums of per-text numbers, so that any resample of texts is one matrix product."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from model_assist.training.metrics.pairs import Floats, ratio

ORDERS: Final = 4
EPSILON: Final = 0.1
"""What smoothing method 1 of Chen and Cherry (2014) puts in the place of no match at all."""

ROUGE: Final = ("rouge1", "rouge2", "rougeL")
ROUGE_PARTS: Final = ("precision", "recall", "fmeasure")


def bleu_statistics(pairs: Iterable[tuple[str, str]]) -> Floats:
    """[texts, 10]: matches of 1 to 4 words, runs of 1 to 4 words, words predicted, words of the reference.

    Of (reference, prediction) texts, split at white space. As in nltk, a prediction too short for a run of n words
    counts as having one.
    """
    rows = [_bleu_row(reference, predicted) for reference, predicted in pairs]
    return np.array(rows, dtype=np.float64).reshape(-1, 2 * ORDERS + 2)


@lru_cache(maxsize=65_536)
def _bleu_row(reference: str, predicted: str) -> tuple[int, ...]:
    true, said = reference.split(), predicted.split()
    matches, runs = [], []
    for order in range(1, ORDERS + 1):
        held, wanted = _runs(said, order), _runs(true, order)
        matches.append(sum(min(count, wanted[run]) for run, count in held.items()))
        runs.append(max(1, held.total()))
    return (*matches, *runs, len(said), len(true))


def _runs(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + order]) for start in range(len(words) - order + 1))


def bleu(sums: Floats) -> Floats:
    """Corpus BLEU-4 [...] from summed statistics [..., 10] (Papineni et al. 2002, smoothing method 1).

    0 without a single matching word, as nltk's corpus_bleu.
    """
    matches, runs = sums[..., :ORDERS], sums[..., ORDERS : 2 * ORDERS]
    said, true = sums[..., 2 * ORDERS], sums[..., 2 * ORDERS + 1]
    precisions = ratio(np.where(matches == 0, EPSILON, matches), runs)
    means = np.log(np.where(precisions > 0, precisions, 1.0)).mean(axis=-1)
    brevity = np.where(said > true, 1.0, np.exp(1 - ratio(true, np.where(said > 0, said, 1.0))))
    score: Floats = np.where((matches[..., 0] > 0) & (said > 0), brevity * np.exp(means), 0.0)
    return score


def rouge_statistics(pairs: Iterable[tuple[str, str]]) -> Floats:
    """[texts, 9]: precision, recall and F of ROUGE-1, -2 and -L with Porter stemming (Lin 2004)."""
    rows = [_rouge_row(reference, predicted) for reference, predicted in pairs]
    return np.array(rows, dtype=np.float64).reshape(-1, len(ROUGE) * len(ROUGE_PARTS))


@lru_cache(maxsize=1)
def _scorer() -> RougeScorer:
    return RougeScorer(list(ROUGE), use_stemmer=True)


@lru_cache(maxsize=65_536)
def _rouge_row(reference: str, predicted: str) -> tuple[float, ...]:
    found = _scorer().score(reference, predicted)
    return tuple(float(getattr(found[name], part)) for name in ROUGE for part in ROUGE_PARTS)
