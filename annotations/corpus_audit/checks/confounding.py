"""Can an answer be given without looking at the clip: from its source, or from how it was filmed or cut?"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.columns import ONSET, RECOGNITION, SPAN, TEXTS, UNKNOWN, Coded, Columns
from annotations.corpus_audit.findings import ERROR, INFO, WARNING, Finding, percent, plain, some
from annotations.corpus_audit.statistics import (
    Association,
    association,
    independence,
    lump_rare,
    quantile_codes,
    rounded,
    table_of,
)

LEAST_ROWS: Final = 30
"""Below this many clips nothing is said: a table of a few clips looks confounded by chance."""
LEVEL: Final = 0.01
ANSWERED: Final = 0.95
"""Share of the commonest answer's mistakes that the rule avoids on held-out clips, from which on it "answers"."""
STRONG: Final = 0.5
MEDIUM: Final = 0.3
"""Of Cramér's V: Cohen, Statistical Power Analysis (1988), calls 0.3 a medium and 0.5 a large effect for one degree of
freedom; the bias-corrected V is read the same way."""
RARE: Final = 5
PARTS: Final = 5


def check(columns: Columns) -> Iterator[Finding]:
    """`source_answers` for every kind that the source tells; `shortcut_answers` for other traits of the clips."""
    targets = _targets(columns)
    for trait, codes, names in _traits(columns):
        for kind, answers, labels in targets:
            table = table_of(codes, answers)
            if table.total < LEAST_ROWS or len(table.by_x) < 2 or len(table.by_y) < 2:
                continue
            found = association(table)
            severity = _severity(found)
            if severity is None:
                continue
            p, test = independence(table)
            if p < LEVEL:
                data = {"trait": trait, **rounded(found), "p": float(f"{p:.3g}"), "test": test}
                if labels:
                    data["table"] = _cross_table(codes, answers, names, labels)
                yield _finding(kind, trait, found, severity, data)


def _severity(found: Association) -> str | None:
    if found.errors_removed >= ANSWERED:
        return ERROR
    if found.errors_removed >= STRONG or found.v >= STRONG:
        return WARNING
    return INFO if found.v >= MEDIUM else None


def _finding(kind: str, trait: str, found: Association, severity: str, data: dict[str, Any]) -> Finding:
    what, by_source = plain(kind), trait == "source"
    verdict = {
        ERROR: f"{what} can be answered from the {trait} alone",
        WARNING: f"the {trait} tells much of {what}",
        INFO: f"the {trait} tells something of {what}",
    }[severity]
    return Finding(
        code="source_answers" if by_source else "shortcut_answers",
        subject=kind if by_source else f"{kind} from {trait}",
        severity=severity,
        count=found.correct,
        total=found.total,
        sentence=(
            f"{verdict[0].upper()}{verdict[1:]}: giving every {trait} its commonest answer is right for "
            f"{found.correct:,} of {some(found.total, 'clip')} ({percent(found.accuracy)}; "
            f"{percent(found.held_out)} on held-out clips, {percent(found.baseline)} by always giving the commonest "
            f"answer). The {trait} holds {found.information:.2f} of the answer's {found.entropy:.2f} bits; Cramér's V "
            f"is {found.v:.2f}."
        ),
        action=(
            f"Judge {what} only within one {trait} that holds several answers, and add clips of the missing ones; a "
            "score over all of them says nothing about understanding."
            if severity == ERROR
            else f"Report {what} per {trait}, and watch that splits keep the same mix of it."
        ),
        data=data,
    )


Codes = NDArray[Any]


def _targets(columns: Columns) -> list[tuple[str, Codes, tuple[str, ...]]]:
    """(kind, one code per clip, names of the codes or none). Texts and times of crash clips only: elsewhere they repeat
    the recognition. Rare texts are one answer; times are put into equally filled parts.
    """
    labels = np.where(columns.excluded, UNKNOWN, columns.labels)
    found: list[tuple[str, Codes, tuple[str, ...]]] = [(KINDS[RECOGNITION], labels, ("no", "yes"))]
    for kind, texts in zip(TEXTS, columns.texts, strict=True):
        codes = np.where(columns.crash, texts.codes, UNKNOWN)
        found.append((KINDS[kind], lump_rare(codes, least=RARE), ()))
    length = columns.end_us - columns.start_us
    spans = columns.crash & (columns.start_us != UNKNOWN) & (columns.end_us != UNKNOWN)
    onsets = columns.crash & (columns.onset_us != UNKNOWN)
    found.append((f"{KINDS[SPAN]} (length)", quantile_codes(length, spans, parts=PARTS), ()))
    found.append((f"{KINDS[ONSET]} (instant)", quantile_codes(columns.onset_us, onsets, parts=PARTS), ()))
    return found


def _traits(columns: Columns) -> Iterator[tuple[str, Codes, tuple[str, ...]]]:
    """(what is known of a clip without its pictures, one code per clip, names of the codes)."""
    yield "source", columns.source.codes, columns.source.values
    sizes = Coded.of(
        f"{width} x {height}" if width > 0 else None
        for width, height in zip(columns.width.tolist(), columns.height.tolist(), strict=True)
    )
    rates = Coded.of(
        f"{num / den:.2f} per second" if num > 0 else None
        for num, den in zip(columns.rate_num.tolist(), columns.rate_den.tolist(), strict=True)
    )
    yield "picture size", sizes.codes, sizes.values
    yield "frame rate", rates.codes, rates.values
    yield "codec", columns.codec.codes, columns.codec.values
    known = columns.length_us != UNKNOWN
    yield "clip length", quantile_codes(columns.length_us, known, parts=2 * PARTS), ()


def _cross_table(
    codes: Codes, answers: Codes, names: tuple[str, ...], labels: tuple[str, ...]
) -> list[dict[str, Any]]:
    """For each value of the trait: how often each answer; the commonest values first, at most twenty."""
    rows: list[dict[str, Any]] = []
    for code in np.unique(codes[codes >= 0]).tolist():
        of = answers[codes == code]
        counts: dict[str, int] = {label: int((of == place).sum()) for place, label in enumerate(labels)}
        if sum(counts.values()):
            rows.append({"value": names[code] if names else f"part {code + 1}", **counts})
    return sorted(rows, key=lambda row: (-sum(int(row[label]) for label in labels), row["value"]))[:20]
