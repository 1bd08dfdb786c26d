"""The report of an audit: counts, distributions and findings as plain JSON that is the same for the same inputs."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit import contradictions
from annotations.corpus_audit.checks import (
    balance,
    confounding,
    defaults,
    degenerate,
    leakage,
    missing,
    vocabulary,
)
from annotations.corpus_audit.columns import MISSING, RANKS, STATES, TEXTS, UNKNOWN, Coded, Columns
from annotations.corpus_audit.findings import SEVERITIES, Finding
from annotations.corpus_audit.statistics import histogram, quantiles

FORMAT: Final = "crashdesk-audit/1"
COUNTED: Final = (
    "Of each clip and kind the approved answer counts; where none is approved, the newest answer of a person; where "
    "there is none, the newest imported one. A model's draft counts only once it is approved, and nothing counts of "
    "an excluded case."
)
Check = Callable[[Columns], Iterator[Finding]]
CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("confounding", confounding.check),
    ("default values", defaults.check),
    ("impossible records", degenerate.check),
    ("contradictions", contradictions.check),
    ("vocabulary", vocabulary.check),
    ("missing", missing.check),
    ("leakage", leakage.check),
    ("balance", balance.check),
)


@cache
def code_version() -> str:
    """CrashDesk's version and twelve hexadecimal digits of the hash of the audit's own modules."""
    sha = hashlib.sha256()
    folder = Path(__file__).parent
    names = ("columns.py", "statistics.py", "findings.py", "contradictions.py", "loader.py", "report.py")
    for file in sorted([*(folder / name for name in names), *(folder / "checks").glob("*.py")]):
        sha.update(file.name.encode() + b"\n" + file.read_bytes())
    return f"{version('crashdesk')}+{sha.hexdigest()[:12]}"


def findings_of(
    columns: Columns, *, step: Callable[[int, int, str], None] = lambda *_: None
) -> list[Finding]:
    """Every finding, worst first, then by code and subject. `step`: told before each check (done, of, name)."""
    found: list[Finding] = []
    if len(columns):
        for done, (name, check) in enumerate(CHECKS):
            step(done, len(CHECKS), name)
            found += check(columns)
    keys = [finding.key for finding in found]
    if len(set(keys)) != len(keys):
        raise ValueError(f"two findings of one name: {sorted(k for k in set(keys) if keys.count(k) > 1)}")
    return sorted(found, key=lambda finding: (-SEVERITIES.index(finding.severity), *finding.key))


def report_of(columns: Columns, findings: list[Finding]) -> dict[str, Any]:
    """Plain JSON: no times of day, no floats beyond six decimals; keys are sorted when it is written."""
    return {
        "format": FORMAT,
        "corpus": columns.corpus,
        "dataset_version": columns.version,
        "inputs": {"sha256": columns.inputs_hash, "counted": COUNTED},
        "counts": _counts(columns),
        "profile": _profile(columns),
        "findings": [_finding(finding) for finding in findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code, "subject": finding.subject, "severity": finding.severity, "count": finding.count,
        "total": finding.total, "sentence": finding.sentence, "action": finding.action,
        "examples": [asdict(example) for example in finding.examples], "data": finding.data,
        "listed": finding.rows is not None,
    }  # fmt: skip


def _counts(columns: Columns) -> dict[str, Any]:
    ranks = {
        name: {RANKS[rank]: int((columns.ranks[:, kind] == rank).sum()) for rank in range(1, len(RANKS))}
        for kind, name in enumerate(KINDS)
    }
    states = {
        name: {STATES[state]: int((columns.states[:, kind] == state).sum()) for state in range(len(STATES))}
        for kind, name in enumerate(KINDS)
    }
    return {
        "clips": len(columns),
        "cases": int((columns.cases != UNKNOWN).sum()),
        "with_media": int(columns.sha256.known.sum()),
        "answered": int((columns.states != MISSING).any(axis=1).sum()),
        "excluded": int(columns.excluded.sum()),
        "recordings": len(columns.recording.values),
        "answers_by_author": ranks,
        "answers_by_state": states,
    }


def _profile(columns: Columns) -> dict[str, Any]:
    labels = np.where(columns.excluded, UNKNOWN, columns.labels)
    return {
        "sources": balance.counts_by(columns.source, labels)[:50],
        "splits": balance.counts_by(columns.split, labels)[:50],
        "version_splits": balance.counts_by(columns.version_split, labels) if columns.version else [],
        "media": _commonest(columns.media_state, blank="absent"),
        "codecs": _commonest(columns.codec),
        "picture_sizes": _sizes(columns),
        "measures": [
            {"name": name, "unit": unit, "known": int(known.sum()), **quantiles(values[known]),
             "histogram": histogram(values[known])}
            for name, unit, values, known in balance.measures(columns)
            if known.any()
        ],
        "vocabulary": {
            KINDS[kind]: vocabulary.vocabulary(columns, texts)
            for kind, texts in zip(TEXTS, columns.texts, strict=True)
            if texts.known.any()
        },
    }  # fmt: skip


def _commonest(column: Coded, *, blank: str = "", shown: int = 20) -> list[list[Any]]:
    """[value, clips], the commonest first."""
    counts = np.bincount(column.codes[column.known], minlength=len(column.values))
    rows: list[list[Any]] = [[value, int(count)] for value, count in zip(column.values, counts, strict=True)]
    if blank and not column.known.all():
        rows.append([blank, int((~column.known).sum())])
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:shown]


def _sizes(columns: Columns) -> list[list[Any]]:
    return _commonest(
        Coded.of(
            f"{width} x {height}" if width > 0 else None
            for width, height in zip(columns.width.tolist(), columns.height.tolist(), strict=True)
        )
    )
