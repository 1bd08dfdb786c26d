"""Answers that contradict each other or their clip, by the rules that bind every answer (cases/rules.py)."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from annotations.cases.rules import RuleFinding, Said
from annotations.cases.rules import check as broken_rules
from annotations.corpora.importers.rows import KINDS
from annotations.corpus_audit.columns import (
    ABSENT,
    MISSING,
    ONSET,
    OUT_OF_CLIP,
    RECOGNITION,
    SPAN,
    STATES,
    TEXTS,
    UNKNOWN,
    UNPARSABLE,
    VALUED,
    Columns,
)
from annotations.corpus_audit.findings import ERROR, WARNING, Finding, examples, plain, seconds, some

_ELSEWHERE: Final = "missing_answer"  # checks/missing.py counts those
_ACTIONS: Final = {
    "span_zero_length": "Have the span drawn: no prediction can overlap a span of no length, so each "
    "scores 0.",
    "span_reversed": "Have start and end put right.",
    "span_beyond_clip": "Check that the clip is the one annotated and not cut or sped up since; have "
    "the span redrawn.",
    "onset_beyond_clip": "Check that the clip is the one annotated and not cut or sped up since; "
    "have the onset set anew.",
    "onset_after_start": "Have the onset set anew: the first cue cannot come after the crash has begun.",
}


def check(columns: Columns) -> Iterator[Finding]:
    """One finding per broken rule and the kinds it ties together."""
    rows: dict[tuple[str, str], list[int]] = {}
    rules: dict[tuple[str, str], RuleFinding] = {}
    answered = np.flatnonzero(~columns.excluded & (columns.states != MISSING).any(axis=1))
    read = _Rows(columns)
    for row in answered.tolist():
        for rule in broken_rules(read.said(row), duration_us=read.duration(row)):
            if rule.code != _ELSEWHERE:
                key = rule.code, " and ".join(str(kind) for kind in rule.kinds)
                rows.setdefault(key, []).append(row)
                rules.setdefault(key, rule)
    for key, found in sorted(rows.items()):
        yield _finding(columns, key, rules[key], found)


class _Rows:
    """The columns as the rules read answers."""

    def __init__(self, columns: Columns) -> None:
        self._states = columns.states.tolist()
        self._labels = columns.labels.tolist()
        self._texts = [(texts.codes.tolist(), texts.values) for texts in columns.texts]
        self._start, self._end = columns.start_us.tolist(), columns.end_us.tolist()
        self._onset, self._length = columns.onset_us.tolist(), columns.length_us.tolist()

    def duration(self, row: int) -> int | None:
        length: int = self._length[row]
        return None if length == UNKNOWN else length

    def said(self, row: int) -> dict[str, Said]:
        return {
            KINDS[kind]: Said(STATES[state], self._value(row, kind))
            for kind, state in enumerate(self._states[row])
            if state != MISSING
        }

    def _value(self, row: int, kind: int) -> dict[str, Any] | None:
        if kind == RECOGNITION:
            label = self._labels[row]
            return None if label == UNKNOWN else {"label": "yes" if label else "no"}
        if kind == SPAN:
            start, end = self._start[row], self._end[row]
            return None if UNKNOWN in (start, end) else {"start_us": start, "end_us": end}
        if kind == ONSET:
            return None if self._onset[row] == UNKNOWN else {"at_us": self._onset[row]}
        codes, values = self._texts[TEXTS.index(kind)]
        return None if codes[row] == UNKNOWN else {"text": values[codes[row]]}


def _finding(columns: Columns, key: tuple[str, str], rule: RuleFinding, found: list[int]) -> Finding:
    code, subject = key
    kinds = [KINDS.index(str(kind)) for kind in rule.kinds]
    absent = (
        () if code.startswith(("span_", "onset_")) else (ABSENT,)
    )  # rules on times speak of times that are there
    there = np.isin(columns.states[:, kinds], (VALUED, OUT_OF_CLIP, UNPARSABLE, *absent))
    total = int((~columns.excluded & there.all(axis=1)).sum())
    one = len(found) == 1
    data: dict[str, Any] = {}
    if code in ("span_beyond_clip", "onset_beyond_clip"):
        times = columns.end_us if code == "span_beyond_clip" else columns.onset_us
        beyond = times[found] - columns.length_us[found]
        data = {"median_us": int(np.median(beyond)), "most_us": int(beyond.max())}
    return Finding(
        code=code,
        subject=subject,
        severity=ERROR if rule.blocks else WARNING,
        count=len(found),
        total=total,
        sentence=(
            f"{some(len(found), 'clip')} of {total:,} {'breaks' if one else 'break'} a rule: {_words(rule)}."
        ),
        action=_ACTIONS.get(code, "Have the answers reviewed together: one of them is wrong."),
        examples=examples(columns, found, (_shown(columns, row) for row in found)),
        data=data,
        rows=np.asarray(found, dtype=np.int64),
    )


def _words(rule: RuleFinding) -> str:
    """The rule's message with the kinds' names in words."""
    message = rule.message
    for kind in sorted(KINDS, key=len, reverse=True):
        message = message.replace(kind, plain(kind))
    return message


def _shown(columns: Columns, row: int) -> str:
    """The answers of a clip in one line."""
    parts = []
    if columns.labels[row] != UNKNOWN:
        parts.append("crash" if columns.labels[row] else "no crash")
    if columns.start_us[row] != UNKNOWN:
        parts.append(f"span {seconds(columns.start_us[row])} to {seconds(columns.end_us[row])}")
    if columns.onset_us[row] != UNKNOWN:
        parts.append(f"onset {seconds(columns.onset_us[row])}")
    if columns.length_us[row] != UNKNOWN:
        parts.append(f"clip {seconds(columns.length_us[row])}")
    return ", ".join(parts)
