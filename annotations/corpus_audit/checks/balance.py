"""How the classes, lengths, rates and sizes are spread, and which clips lie far out."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annotations.corpus_audit.columns import UNKNOWN, Coded, Columns, Mask
from annotations.corpus_audit.findings import (
    INFO,
    WARNING,
    Finding,
    examples,
    percent,
    rows_of,
    seconds,
    some,
)
from annotations.corpus_audit.statistics import robust_z

RARE_CLASS: Final = 0.10
FAR: Final = 3.5
"""Modified z-score beyond which a value is an outlier: the value that Iglewicz and Hoaglin (1993) recommend."""
MOST_OUTLIERS: Final = 0.05
"""Where more of a source lies "far out", it has several middles, and none of it is an outlier."""
LEAST_ROWS: Final = 20


def check(columns: Columns) -> Iterator[Finding]:
    """`class_balance`, `class_missing_in_split`, `variable_rate`, and an `..._outlier` for each measure
    that has some.
    """
    yield from _classes(columns)
    rows = rows_of(columns.variable_rate)
    if len(rows):
        yield Finding(
            code="variable_rate", subject="", severity=INFO, count=len(rows), total=len(columns),
            sentence=(f"{some(len(rows), 'clip')} of {len(columns):,} "
                f"{'has' if len(rows) == 1 else 'have'} frames at uneven "
            "times: frame number times frame rate is not the time there."),
            action=("Nothing inside CrashDesk, which keeps each frame's own time; other tools may be "
                "off on these clips."),
            examples=examples(columns, rows), rows=rows,
        )  # fmt: skip
    yield from _outliers(columns)


def _classes(columns: Columns) -> Iterator[Finding]:
    labels = np.where(columns.excluded, UNKNOWN, columns.labels)
    yes, no = int((labels == 1).sum()), int((labels == 0).sum())
    total = yes + no
    if not total:
        return
    fewer, name = min((yes, "yes"), (no, "no"))
    rare = fewer < RARE_CLASS * total
    yield Finding(
        code="class_balance",
        subject="crash_recognition",
        severity=WARNING if rare else INFO,
        count=fewer,
        total=total,
        sentence=(
            f"Every clip says {'yes' if yes else 'no'}."
            if fewer == 0
            else f"The rarer answer is {name}: {fewer:,} of {some(total, 'clip')} ({percent(fewer / total)})."
        ),
        action=(
            f"Report precision and recall beside accuracy, and add clips that say {name}."
            if rare
            else "Nothing; look at the sources and splits below for uneven mixes."
        ),
        data={"by_source": counts_by(columns.source, labels), "by_split": counts_by(columns.split, labels)},
    )
    for code, split in enumerate(columns.split.values):
        inside = labels[(columns.split.codes == code) & (labels != UNKNOWN)]
        if len(inside) and fewer and (inside.min() == inside.max()):
            yield Finding(
                code="class_missing_in_split", subject=split, severity=WARNING, count=len(inside), total=len(inside),
                sentence=(f"All {some(len(inside), 'clip')} of the split {split} say "
                    f"{'yes' if inside[0] else 'no'}."),
                action="Accuracy on this split says nothing; split anew.",
            )  # fmt: skip


def counts_by(group: Coded, labels: NDArray[Any]) -> list[dict[str, Any]]:
    """Yes, no and unknown of every value of a column, the commonest first; "" where there is none."""
    found = []
    for code in [*range(len(group.values)), UNKNOWN]:
        of = labels[group.codes == code]
        if len(of):
            counts = {"yes": int((of == 1).sum()), "no": int((of == 0).sum())}
            name = "" if code == UNKNOWN else group.values[code]
            found.append({"value": name, **counts, "unknown": len(of) - sum(counts.values())})
    return sorted(found, key=lambda row: (-row["yes"] - row["no"] - row["unknown"], row["value"]))


def measures(columns: Columns) -> Iterator[tuple[str, str, NDArray[Any], Mask]]:
    """(name, unit, value per clip, where known): what distributions and outliers are shown of."""
    length = columns.length_us
    yield "clip length", "us", length, length > 0
    rates = np.where(columns.rate_den > 0, columns.rate_num / np.maximum(columns.rate_den, 1), UNKNOWN)
    yield "frame rate", "per second", rates, rates > 0
    pixels = np.where(columns.width > 0, columns.width * columns.height, UNKNOWN)
    yield "picture size", "pixels", pixels, pixels > 0
    start, end, onset = columns.start_us, columns.end_us, columns.onset_us
    spans = ~columns.excluded & (start != UNKNOWN) & (end > start)
    yield "span length", "us", end - start, spans
    yield "onset gap", "us", start - onset, spans & (onset != UNKNOWN) & (start >= onset)


def _outliers(columns: Columns) -> Iterator[Finding]:
    """Values far from the middle of their own source, on a scale of ratios (logarithms)."""
    for name, unit, values, known in measures(columns):
        usable = known & (values > 0)
        z = np.zeros(len(columns))
        for code in [*range(len(columns.source.values)), UNKNOWN]:
            inside = usable & (columns.source.codes == code)
            if int(inside.sum()) >= LEAST_ROWS:
                found = robust_z(np.log(values[inside]))
                if (np.abs(found) > FAR).mean() <= MOST_OUTLIERS:
                    z[inside] = found
        rows = rows_of(np.abs(z) > FAR)
        if not len(rows):
            continue
        rows = rows[np.argsort(-np.abs(z[rows]), kind="stable")]
        yield Finding(
            code=f"{name.replace(' ', '_')}_outlier",
            subject="",
            severity=INFO,
            count=len(rows),
            total=int(usable.sum()),
            sentence=(
                f"The {name} of {some(len(rows), 'clip')} of {int(usable.sum()):,} lies far from the middle of "
                f"{'its' if len(rows) == 1 else 'their'} source (modified z-score above {FAR})."
            ),
            action="Look at the first ones: a wrong clip, a wrong unit or a real rarity.",
            examples=examples(columns, rows, (shown(values[row], unit) for row in rows)),
            rows=np.sort(rows),
        )


def shown(value: float, unit: str) -> str:
    """A measure with its unit."""
    return seconds(float(value)) if unit == "us" else f"{value:,.6g} {unit}"
