"""Values far more frequent than their neighbours: filled in by a tool or a habit rather than seen in the clip."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.columns import TEXTS, UNKNOWN, Columns, Ints, Mask
from annotations.corpus_audit.findings import (
    INFO,
    WARNING,
    Finding,
    examples,
    percent,
    plain,
    rows_of,
    seconds,
    some,
)
from annotations.corpus_audit.statistics import Spike, excess_over, resolution, spikes

LEAST_ROWS: Final = 30
STEPS_US: Final = (10_000, 50_000, 100_000, 500_000, 1_000_000)
"""Resolutions that people and tools write times in. Finer times are put into hundredths of a second."""
LARGE_SHARE: Final = 0.10
MOST_PER_VALUE: Final = 5
TEXT_SHARE, ZIPF, TEXT_RATIO, LEVEL = 0.25, 2.0, 3.0, 1e-3
SHOWN_BINS: Final = 120


def check(columns: Columns) -> Iterator[Finding]:
    """`default_value` for times and lengths, `default_text` for words. Spans of no length are another check's."""
    for name, values, known in _measures(columns):
        if int(known.sum()) >= LEAST_ROWS:
            yield from _of_measure(columns, name, values, known)
    yield from _texts(columns)


def _measures(columns: Columns) -> Iterator[tuple[str, Ints, Mask]]:
    """(name, microseconds per clip, where known)."""
    start, end, onset, length = columns.start_us, columns.end_us, columns.onset_us, columns.length_us
    spans = ~columns.excluded & (start != UNKNOWN) & (end != UNKNOWN)
    onsets = ~columns.excluded & (onset != UNKNOWN)
    measured = length != UNKNOWN
    yield "span length", end - start, spans & (end > start)
    yield "onset gap", start - onset, spans & onsets
    yield "span start", start, spans
    yield "span end", end, spans
    yield "onset", onset, onsets
    yield "time after the span", length - end, spans & measured & (length >= end)
    yield "onset as share of the clip", _thousandths(onset, length), onsets & (length > 0)


_WHAT: Final = {
    "span length": "length of the crash span",
    "onset gap": "time from onset to crash start",
    "span start": "start of the crash span",
    "span end": "end of the crash span",
    "onset": "onset",
    "time after the span": "time between the end of the span and the end of the clip",
    "onset as share of the clip": "place of the onset in the clip",
}
_SHARE: Final = "onset as share of the clip"


def _thousandths(part: Ints, whole: Ints) -> Ints:
    return np.where(whole > 0, np.round(1000 * part / np.maximum(whole, 1)), UNKNOWN).astype(np.int64)


def _of_measure(columns: Columns, name: str, values: Ints, known: Mask) -> Iterator[Finding]:
    step = 10 if name == _SHARE else resolution(values[known], steps=STEPS_US)
    for spike in spikes(values[known], step=step)[:MOST_PER_VALUE]:
        rounded = np.floor_divide(values + step // 2, step) * step
        rows = rows_of(known & (rounded == spike.value))
        total = int(known.sum())
        share = spike.count / total
        shown = f"{spike.value / 10:g} %" if name == _SHARE else seconds(spike.value)
        yield Finding(
            code="default_value",
            subject=f"{name} {shown}",
            severity=WARNING if share >= LARGE_SHARE else INFO,
            count=spike.count,
            total=total,
            sentence=(
                f"The {_WHAT[name]} is {shown} for {spike.count:,} of {some(total, 'clip')} ({percent(share)}), "
                f"{_beside(spike)}: more like a default than an observation."
            ),
            action=(
                "Have people look at a sample of these clips, and score the clips without this value apart: a model "
                "that has learnt the default looks right on the others."
            ),
            examples=examples(columns, rows),
            data={
                "measure": name, "unit": "thousandths" if name == _SHARE else "us", "step": step,
                **_spike_data(spike), "by_source": _by_source(columns, rows, known),
                "values": _bins(rounded[known]),
            },
            rows=rows,
        )  # fmt: skip


def _beside(spike: Spike) -> str:
    return (
        f"{spike.ratio:.0f} times as often as the values around it" if spike.neighbours else "and never else"
    )


def _spike_data(spike: Spike) -> dict[str, Any]:
    return {
        "value": spike.value, "expected": round(spike.expected, 3), "neighbours": spike.neighbours,
        "ratio": round(spike.ratio, 3), "p": float(f"{spike.p:.3g}"),
    }  # fmt: skip


def _by_source(columns: Columns, rows: Ints, known: Mask) -> list[dict[str, Any]]:
    """How many of each source's known values are this one."""
    here = np.zeros(len(columns), dtype=np.bool_)
    here[rows] = True
    found = []
    for code, name in enumerate(columns.source.values):
        of = known & (columns.source.codes == code)
        if of.any():
            found.append({"source": name, "count": int((of & here).sum()), "total": int(of.sum())})
    return sorted(found, key=lambda row: (-int(str(row["count"])), str(row["source"])))


def _bins(values: Ints) -> list[list[int]]:
    """[value, count] of the commonest values, by value."""
    bins, counts = np.unique(values, return_counts=True)
    kept = np.sort(np.argsort(-counts, kind="stable")[:SHOWN_BINS])
    return [[int(bins[i]), int(counts[i])] for i in kept]


def _texts(columns: Columns) -> Iterator[Finding]:
    """A text that crowds out all others: more than the double of the next, which is what Zipf's law leads to expect."""
    for kind, texts in zip(TEXTS, columns.texts, strict=True):
        known = columns.crash & texts.known
        counts = np.bincount(texts.codes[known], minlength=len(texts.values))
        total = int(known.sum())
        if total < LEAST_ROWS or int((counts > 0).sum()) < 3:
            continue
        first, second = np.argsort(-counts, kind="stable")[:2].tolist()
        top, runner_up = int(counts[first]), int(counts[second])
        p = excess_over(top, runner_up, ratio=ZIPF)
        if top < TEXT_SHARE * total or top < TEXT_RATIO * runner_up or p >= LEVEL:
            continue
        rows = rows_of(known & (texts.codes == first))
        yield Finding(
            code="default_text",
            subject=KINDS[kind],
            severity=WARNING,
            count=top,
            total=total,
            sentence=(
                f"One answer on {plain(KINDS[kind])} is given to {top:,} of {some(total, 'crash clip')} "
                f"({percent(top / total)}), the next commonest to {runner_up:,}: “{texts.values[first][:120]}”."
            ),
            action=(
                "Watch a sample of these clips: words that fit so many are either a default or too vague to teach "
                "anything."
            ),
            examples=examples(columns, rows),
            data={"text": texts.values[first], "second": runner_up, "p": float(f"{p:.3g}")},
            rows=rows,
        )
