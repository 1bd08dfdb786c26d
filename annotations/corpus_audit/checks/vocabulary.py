"""Is the free text free: how many different answers are there, and does one answer give the others away?"""

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

import numpy as np

from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.columns import (
    CAUSE,
    DESCRIPTION,
    PREVENTION,
    TEXTS,
    UNKNOWN,
    Coded,
    Codes,
    Columns,
    Ints,
)
from annotations.corpus_audit.findings import INFO, WARNING, Finding, examples, percent, plain, rows_of, some
from annotations.corpus_audit.statistics import Counts, association, coverage, entropy_bits, rounded, table_of

LEAST_ROWS: Final = 30
CLOSED, NARROW = 0.9, 0.5
"""Good's estimate of how likely the next clip's words have been seen before."""
PREDICTED, PARTLY = 0.9, 0.7
"""Held-out accuracy of naming a text from another text, from which on the second adds next to nothing."""
TOP: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def check(columns: Columns) -> Iterator[Finding]:
    """`closed_vocabulary` per kind of text, `text_gives_text_away` per pair; over crash clips: others have one text."""
    for kind, texts in zip(TEXTS, columns.texts, strict=True):
        yield from _closed(columns, KINDS[kind], texts)
    for first, second in combinations((DESCRIPTION, CAUSE, PREVENTION), 2):
        yield from _given_away(columns, first, second)


def vocabulary(columns: Columns, texts: Coded) -> dict[str, Any]:
    """Distinct answers overall and in crash clips, how many clips the commonest cover, and entropy in bits."""
    spoken = ~columns.excluded & texts.known
    crash = columns.crash & texts.known
    counts = np.bincount(texts.codes[crash], minlength=len(texts.values))
    counts = counts[counts > 0]
    order = np.sort(counts)[::-1]
    covered = np.cumsum(order)
    return {
        "clips": int(spoken.sum()),
        "distinct": len(np.unique(texts.codes[spoken])),
        "crash_clips": int(crash.sum()),
        "crash_distinct": len(counts),
        "seen_once": int((counts == 1).sum()),
        "entropy_bits": round(entropy_bits(counts), 6),
        "seen_before": round(coverage(counts), 6),
        "top": [[k, int(covered[min(k, len(order)) - 1])] for k in TOP if len(order) and k <= 2 * len(order)],
        "curve": _curve(covered),
        "commonest": _commonest(texts, crash),
    }


def _curve(covered: Counts, points: int = 60) -> list[list[int]]:
    """[number of texts, clips they cover], thinned out evenly."""
    if not len(covered):
        return []
    at = np.unique(np.linspace(0, len(covered) - 1, points).astype(int))
    return [[int(i) + 1, int(covered[i])] for i in at]


def _commonest(texts: Coded, mask: Any, shown: int = 10) -> list[list[Any]]:
    counts = np.bincount(texts.codes[mask], minlength=len(texts.values))
    by_count = sorted(
        (-int(counts[code]), texts.values[code])
        for code in np.argsort(-counts, kind="stable")[: 4 * shown]
        if counts[code]
    )
    return [[text[:200], -count] for count, text in by_count[:shown]]


def _closed(columns: Columns, kind: str, texts: Coded) -> Iterator[Finding]:
    found = vocabulary(columns, texts)
    total = found["crash_clips"]
    if total < LEAST_ROWS or found["seen_before"] < NARROW:
        return
    counts = np.bincount(texts.codes[columns.crash & texts.known], minlength=len(texts.values))
    repeated = rows_of(columns.crash & texts.known & (counts[np.maximum(texts.codes, 0)] > 1))
    ten = int(np.sort(counts)[::-1][:10].sum())
    closed = found["seen_before"] >= CLOSED
    yield Finding(
        code="closed_vocabulary",
        subject=kind,
        severity=WARNING if closed else INFO,
        count=len(repeated),
        total=total,
        sentence=(
            f"{some(total, 'crash clip')} share {some(found['crash_distinct'], f'different {plain(kind)} answer')} "
            f"({found['distinct']:,} with the clips that show no crash), and the ten commonest cover "
            f"{percent(ten / total)}. The next clip's words have been used before with a chance of "
            f"{percent(found['seen_before'])}: this is {'' if closed else 'partly '}choosing from a list, not writing."
        ),
        action=(
            "Judge it as a choice among these texts (accuracy, confusion) beside BLEU and ROUGE, and offer them while "
            "typing; where free words are wanted, have them written anew."
        ),
        data=found,
    )


def _given_away(columns: Columns, first: int, second: int) -> Iterator[Finding]:
    """Whether the first of two texts, in the order people give them, tells the second; and the other way round."""
    codes = {
        kind: np.where(columns.crash, texts.codes, UNKNOWN)
        for kind, texts in zip(TEXTS, columns.texts, strict=True)
    }
    table = table_of(codes[first], codes[second])
    if table.total < LEAST_ROWS or len(table.by_x) < 2 or len(table.by_y) < 2:
        return
    there, back = association(table), association(table_of(codes[second], codes[first]))
    held_out = max(there.held_out, back.held_out)
    if held_out < PARTLY or max(there.baseline, back.baseline) >= PARTLY:
        return
    x, y = plain(KINDS[first]), plain(KINDS[second])
    texts = columns.texts[TEXTS.index(second)]
    unusual = _unusual(codes[first], codes[second])
    yield Finding(
        code="text_gives_text_away",
        subject=f"{KINDS[second]} from {KINDS[first]}",
        severity=WARNING if held_out >= PREDICTED else INFO,
        count=there.correct,
        total=there.total,
        sentence=(
            f"Giving every {x} its commonest {y} is right for {there.correct:,} of "
            f"{some(there.total, 'crash clip')} ({percent(there.accuracy)}; {percent(there.held_out)} on held-out "
            f"clips, {percent(there.baseline)} by always giving the commonest). Once the {x} is known, "
            f"{there.entropy - there.information:.2f} of {there.entropy:.2f} bits are left to tell. The other way "
            f"round it is right for {percent(back.accuracy)} ({percent(back.held_out)} on held-out clips)."
        ),
        action=(
            f"Do not count {y} as a success of its own where the {x} is right; score it where the two part, "
            "or have it written anew."
        ),
        examples=examples(columns, unusual, (texts[int(row)][:80] for row in unusual)),
        data={"there": rounded(there), "back": rounded(back)},
        rows=unusual,
    )


def _unusual(x: Codes, y: Codes) -> Ints:
    """The clips whose second text is not the commonest one for their first (the earlier one of equals)."""
    known = np.flatnonzero((x >= 0) & (y >= 0)).astype(np.int64)
    width = int(y.max()) + 1
    pairs, counts = np.unique(x[known].astype(np.int64) * width + y[known], return_counts=True)
    firsts, seconds = np.divmod(pairs, width)
    order = np.lexsort((seconds, -counts, firsts))
    led, at = np.unique(firsts[order], return_index=True)
    usual = np.full(int(x.max()) + 1, UNKNOWN, dtype=np.int64)
    usual[led] = seconds[order][at]
    return np.asarray(known[usual[x[known]] != y[known]])
