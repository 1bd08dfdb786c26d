"""Records that contradict themselves, or the clip they describe."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from annotations.corpus_audit.columns import UNKNOWN, Columns
from annotations.corpus_audit.findings import WARNING, Finding, examples, rows_of, seconds, some

TOLERANCE_US: Final = 100_000
TOLERANCE: Final = 0.02
"""A clip may be longer or shorter than its record says by a tenth of a second or a fiftieth, whichever is more."""


def check(columns: Columns) -> Iterator[Finding]:
    """`record_inconsistent` and `media_differs_from_record`. Broken rules between answers: see contradictions.py."""
    yield from _inconsistent(columns)
    yield from _differing(columns)


def _inconsistent(columns: Columns) -> Iterator[Finding]:
    if not columns.inconsistent:
        return
    rows = np.array(sorted(columns.inconsistent), dtype=np.int64)
    count = len(rows)
    yield Finding(
        code="record_inconsistent",
        subject="",
        severity=WARNING,
        count=count,
        total=len(columns),
        sentence=(
            f"The imported {'record' if count == 1 else 'records'} of {some(count, 'clip')} of {len(columns):,} "
            f"contradict{'s itself' if count == 1 else ' themselves'}."
        ),
        action=(
            "Look the numbers up in the original file and watch the clip; leave it out of splits until it is settled."
        ),
        examples=examples(columns, rows, ("; ".join(columns.inconsistent[int(row)]) for row in rows)),
        rows=rows,
    )


def _differing(columns: Columns) -> Iterator[Finding]:
    measured, declared = columns.duration_us, columns.declared_duration_us
    both = (measured != UNKNOWN) & (declared != UNKNOWN)
    if not both.any():
        return
    away = np.abs(measured - declared)
    rows = rows_of(both & (away > np.maximum(TOLERANCE_US, TOLERANCE * declared)))
    if not len(rows):
        return
    worst_first = rows[np.argsort(-away[rows], kind="stable")]
    yield Finding(
        code="media_differs_from_record",
        subject="",
        severity=WARNING,
        count=len(rows),
        total=int(both.sum()),
        sentence=(
            f"{some(len(rows), 'clip')} of {int(both.sum()):,} {'is' if len(rows) == 1 else 'are'} not as long as the "
            "imported record says, so the times given may mean other pictures."
        ),
        action="Check that the clips are the ones the annotations were made on: same cut, same frame rate.",
        examples=examples(
            columns,
            worst_first,
            (f"{seconds(measured[row])}, recorded as {seconds(declared[row])}" for row in worst_first),
        ),
        data={"median_us": int(np.median(away[rows])), "most_us": int(away[rows].max())},
        rows=rows,
    )
