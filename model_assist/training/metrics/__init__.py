"""Scores of predictions against true answers, per task. The one entry is `evaluate`.

Two conventions stand side by side in every task's scores. The numbers at the top are CrashDesk's own: every clip with
a true answer counts, a prediction that cannot be read is wrong, times are compared as whole microseconds, and true
spans of zero length are reported apart. Below `published` stand the numbers that CrashChat's published evaluation
scripts print for the same predictions, with what they leave out left out (published.py). docs/metrics.md tells where
the two differ and why.

Pure functions on plain values: no Django, no model.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from model_assist.crashchat.kinds import (
    CRASH_LOCALIZATION,
    CRASH_RECOGNITION,
    PRE_CRASH_LOCALIZATION,
    TEXT_KINDS,
)
from model_assist.training.metrics.bertscore import BertScorer
from model_assist.training.metrics.bootstrap import Bootstrap
from model_assist.training.metrics.onsets import onset_score, onsets
from model_assist.training.metrics.pairs import Pair, Record, Scores, Units
from model_assist.training.metrics.recognition import recognition
from model_assist.training.metrics.spans import span_iou, spans
from model_assist.training.metrics.texts import text_overlap, texts

__all__ = [
    "BertScorer", "Bootstrap", "Pair", "Record", "Scores", "evaluate", "onset_score", "span_iou", "text_overlap",
]  # fmt: skip


def evaluate(
    records: Sequence[Record],
    *,
    sources: Sequence[str] | None = None,
    recordings: Sequence[str] | None = None,
    bootstrap: Bootstrap | None = None,
    bertscore: BertScorer | None = None,
) -> dict[str, Scores]:
    """All scores, keyed by kind; kinds without a single pair are left out.

    sources: where each record's clip comes from; then every kind has `by_source`, a list of the same scores within
    each source. recordings: the footage each clip was cut from; `bootstrap` then draws whole recordings instead of
    clips. Both are as long as `records` (ValueError otherwise). bertscore: adds BERTScore to the texts; without it
    they say that it was not computed.
    """
    for name, given in (("sources", sources), ("recordings", recordings)):
        if given is not None and len(given) != len(records):
            raise ValueError(f"{len(given)} {name} for {len(records)} records")
    units = Units(recordings)
    scorers = _scorers(bootstrap, bertscore)
    whole = list(range(len(records)))
    found: dict[str, Scores] = {}
    for kind, score in scorers.items():
        asked = [place for place in whole if kind in records[place]]
        if not asked:
            continue
        found[kind] = score(records, asked, units)
        if sources is not None:
            found[kind] |= _within(records, asked, units, sources, score)
    if sources is not None and CRASH_RECOGNITION in found:
        found[CRASH_RECOGNITION]["source_alone"] = source_alone(records, sources)
    return found


Scorer = Callable[[Sequence[Record], Sequence[int], Units], Scores]


def _scorers(bootstrap: Bootstrap | None, bertscore: BertScorer | None) -> Mapping[str, Scorer]:
    return {
        CRASH_RECOGNITION: partial(recognition, bootstrap=bootstrap),
        **{kind: partial(texts, kind=kind, bootstrap=bootstrap, bertscore=bertscore) for kind in TEXT_KINDS},
        CRASH_LOCALIZATION: partial(spans, bootstrap=bootstrap),
        PRE_CRASH_LOCALIZATION: partial(onsets, bootstrap=bootstrap),
    }


def _within(
    records: Sequence[Record], asked: Sequence[int], units: Units, sources: Sequence[str], score: Scorer
) -> dict[str, list[dict[str, Any]]]:
    names = sorted({sources[place] for place in asked})
    return {
        "by_source": [
            {"source": name, **score(records, [place for place in asked if sources[place] == name], units)}
            for name in names
        ]
    }


def source_alone(records: Sequence[Record], sources: Sequence[str]) -> Scores:
    """What a guesser scores that sees nothing but a clip's source and says the source's commonest true label.

    The commonest labels are counted on these very records, so no such guesser has a higher accuracy; a tie is
    guessed "no". Precision, recall and F1 are this guesser's and no bound: one that says "yes" everywhere has recall
    1, and can have the better F1. A model's accuracy says something about seeing only as far as it is above this one.
    """
    truths = [
        (sources[place], str(record[CRASH_RECOGNITION].truth["label"]))
        for place, record in enumerate(records)
        if CRASH_RECOGNITION in record and record[CRASH_RECOGNITION].truth is not None
    ]
    yes: dict[str, int] = {}
    count: dict[str, int] = {}
    for source, label in truths:
        count[source] = count.get(source, 0) + 1
        yes[source] = yes.get(source, 0) + (label == "yes")
    guessed = [
        {CRASH_RECOGNITION: Pair("valued", {"label": label}, "valued", {"label": guess})}
        for source, label in truths
        for guess in ["yes" if 2 * yes[source] > count[source] else "no"]
    ]
    if not guessed:
        return {"count": 0}
    scored = recognition(guessed, range(len(guessed)), Units(None))
    return {name: scored[name] for name in ("count", "accuracy", "precision", "recall", "f1")}
