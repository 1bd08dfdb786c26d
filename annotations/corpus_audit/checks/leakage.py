"""Footage in more than one place: splits that share recordings or copies, and copies here and in other corpora."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

import numpy as np

from annotations.corpus_audit.columns import UNKNOWN, Coded, Codes, Columns, Elsewhere, Ints
from annotations.corpus_audit.findings import ERROR, INFO, WARNING, Finding, examples, percent, rows_of, some

TRAINING: Final = ("train", "training")
_JUDGING: Final = ("test", "testing", "val", "valid", "validation", "dev", "eval")
SHOWN_GROUPS: Final = 50
NEAR_US: Final = 1_000_000


def check(columns: Columns) -> Iterator[Finding]:
    """Per assignment of splits (as published, and the newest dataset version's), then copies whatever the split."""
    assignments = [("published", "as published", columns.split)]
    if columns.version:
        assignments.append(("newest version", f"of {columns.version}", columns.version_split))
    by_recording = np.where(columns.recording_known, columns.recording.codes, UNKNOWN)
    for subject, phrase, splits in assignments:
        for code, groups, what in (
            ("recording_straddles_splits", by_recording, "share a recording with clips"),
            ("copy_straddles_splits", columns.sha256.codes, "are byte for byte the same as clips"),
            ("duplicate_straddles_splits", columns.cluster.codes, "show the same footage as clips"),
        ):
            yield from _straddling(columns, code, subject, phrase, splits, groups, what)
    yield from _copies(
        columns, "exact_copies", columns.sha256.codes, "byte for byte the same as another clip"
    )
    yield from _copies(columns, "near_duplicates", columns.cluster.codes, "in a cluster of near duplicates")
    yield from _other_corpora(columns)


def _straddling(
    columns: Columns, code: str, subject: str, phrase: str, splits: Coded, groups: Codes, what: str
) -> Iterator[Finding]:
    """One finding per pair of splits that share footage, counted on the side that is to be judged."""
    names = splits.values
    known = (splits.codes != UNKNOWN) & (groups != UNKNOWN)
    for pair in combinations(sorted(range(len(names)), key=lambda place: names[place]), 2):
        judged, other = sorted(pair, key=lambda place: (_training_rank(names[place]), names[place]))
        in_judged, in_other = known & (splits.codes == judged), known & (splits.codes == other)
        shared = np.intersect1d(groups[in_judged], groups[in_other])
        if not len(shared):
            continue
        rows = rows_of(in_judged & np.isin(groups, shared))
        near = _nearness(columns, groups, rows, rows_of(in_other & np.isin(groups, shared)))
        total = int((splits.codes == judged).sum())
        count = len(rows)
        yield Finding(
            code=code,
            subject=f"{subject}: {names[judged]} and {names[other]}",
            severity=ERROR,
            count=count,
            total=total,
            sentence=(
                f"{count:,} of the {some(total, 'clip')} in {names[judged]} {what} in {names[other]} "
                f"({percent(count / total)}, splits {phrase}): a score on {names[judged]} counts what a model that "
                f"was given {names[other]} has seen.{_near_words(near, names[other])}"
            ),
            action=(
                "Split anew so that all clips of the same footage stay together; freezing a dataset version does that."
            ),
            examples=examples(columns, rows, (_group_name(columns, code, int(groups[row])) for row in rows)),
            data={
                "judged": names[judged], "other": names[other], "groups": len(shared), **near,
                "largest": _largest(columns, code, groups, in_judged, in_other, shared),
            },
            rows=rows,
        )  # fmt: skip


def _nearness(columns: Columns, groups: Codes, judged: Ints, other: Ints) -> dict[str, int]:
    """Of the judged clips whose place in the recording is known: how many overlap a clip of the other split, and
    how many have less than NEAR_US between them and one, of the same recording. Empty where no places are known.
    """
    start, end = columns.place_from_us, columns.place_to_us
    judged, other = judged[end[judged] != UNKNOWN], other[end[other] != UNKNOWN]
    if not len(judged) or not len(other):
        return {}
    by_group: dict[int, tuple[Ints, Ints]] = {}
    other = other[np.lexsort((start[other], groups[other]))]
    for part in np.split(other, np.flatnonzero(np.diff(groups[other])) + 1):
        by_group[int(groups[part[0]])] = start[part], np.maximum.accumulate(end[part])
    overlapping = near = 0
    for row in judged.tolist():
        starts, ends = by_group.get(int(groups[row]), (start[:0], end[:0]))
        after = int(np.searchsorted(starts, end[row]))  # these begin no earlier than this clip ends
        gaps = [int(start[row] - ends[after - 1])] if after else []
        gaps += [int(starts[after] - end[row])] if after < len(starts) else []
        gap = min(gaps, default=NEAR_US)
        overlapping += gap < 0
        near += gap < NEAR_US
    return {"placed": len(judged), "within_a_second": near, "overlapping": overlapping}


def _near_words(near: dict[str, int], other: str) -> str:
    if not near.get("within_a_second"):
        return ""
    overlap = f", {near['overlapping']:,} overlap it" if near["overlapping"] else ""
    return f" {near['within_a_second']:,} of them lie less than a second from a clip of {other}{overlap}."


def _training_rank(name: str) -> int:
    """Splits to be judged come before what they are trained on; of the unknown nobody knows."""
    lower = name.lower()
    return 2 if lower in TRAINING else 0 if lower in _JUDGING else 1


def _group_name(columns: Columns, code: str, group: int) -> str:
    column = {
        "recording_straddles_splits": columns.recording, "copy_straddles_splits": columns.sha256,
        "duplicate_straddles_splits": columns.cluster, "exact_copies": columns.sha256,
        "near_duplicates": columns.cluster,
    }[code]  # fmt: skip
    return column.values[group][:80]


def _largest(
    columns: Columns, code: str, groups: Codes, judged: Any, other: Any, shared: Codes
) -> list[list[Any]]:
    """[group, clips in the judged split, clips in the other], the largest first."""
    here, there = Counter(groups[judged].tolist()), Counter(groups[other].tolist())
    rows: list[list[Any]] = [
        [_group_name(columns, code, group), here[group], there[group]] for group in shared.tolist()
    ]
    return sorted(rows, key=lambda row: (-row[1] - row[2], row[0]))[:SHOWN_GROUPS]


def _copies(columns: Columns, code: str, groups: Codes, what: str) -> Iterator[Finding]:
    known = groups[groups != UNKNOWN]
    values, sizes = np.unique(known, return_counts=True)
    repeated = values[sizes > 1]
    if not len(repeated):
        return
    rows = rows_of(np.isin(groups, repeated))
    rows = rows[np.lexsort((rows, groups[rows]))]
    disagreeing = _disagreeing(columns, groups, rows)
    yield Finding(
        code=code,
        subject="",
        severity=WARNING,
        count=len(rows),
        total=len(columns),
        sentence=(
            f"{some(len(rows), 'clip')} of {len(columns):,} are {what}, in {some(len(repeated), 'group')}"
            f"{_disagreement(disagreeing)}."
        ),
        action="Keep one clip of each group for labelling, and keep each group within one split.",
        examples=examples(columns, rows, (_group_name(columns, code, int(groups[row])) for row in rows)),
        data={"groups": len(repeated), "disagreeing": disagreeing},
        rows=np.sort(rows),
    )


def _disagreement(groups: int) -> str:
    if not groups:
        return ""
    return (
        f"; {some(groups, 'group')} {'disagrees' if groups == 1 else 'disagree'} on whether there is a crash"
    )


def _disagreeing(columns: Columns, groups: Codes, rows: Ints) -> int:
    """Groups that hold both a yes and a no."""
    labels = columns.labels
    yes, no = set(groups[rows[labels[rows] == 1]].tolist()), set(groups[rows[labels[rows] == 0]].tolist())
    return len(yes & no)


def _other_corpora(columns: Columns) -> Iterator[Finding]:
    by_corpus: dict[str, list[Elsewhere]] = {}
    for found in columns.elsewhere:
        by_corpus.setdefault(found.corpus, []).append(found)
    for corpus, shared in sorted(by_corpus.items()):
        first = {found.row: found for found in reversed(shared)}
        rows = np.array(sorted(first), dtype=np.int64)
        exact = len({found.row for found in shared if found.why == "bytes"})
        pairs = Counter(
            f"{columns.split[found.row] or 'no split'} here, {found.split or 'no split'} there"
            for found in first.values()
        )
        yield Finding(
            code="shared_with_corpus",
            subject=corpus,
            severity=WARNING,
            count=len(rows),
            total=len(columns),
            sentence=(
                f"{some(len(rows), 'clip')} of {len(columns):,} {'is' if len(rows) == 1 else 'are'} in the corpus "
                f"{corpus} too ({exact:,} byte for byte): the two are not independent tests."
            ),
            action="Do not train on one and judge on the other; leave these clips out of one of them.",
            examples=examples(
                columns, rows, (f"{first[int(row)].name} ({first[int(row)].why})" for row in rows)
            ),
            data={"exact": exact, "splits": dict(sorted(pairs.items()))},
            rows=rows,
        )
    yield from _shared_recordings(columns)


def _shared_recordings(columns: Columns) -> Iterator[Finding]:
    """The same recording id in another corpus may be the same footage, or chance where ids are short numbers."""
    by_corpus: dict[str, list[int]] = {}
    for code, corpora in columns.recordings_elsewhere.items():
        for corpus in corpora:
            by_corpus.setdefault(corpus, []).append(code)
    for corpus, codes in sorted(by_corpus.items()):
        rows = rows_of(columns.recording_known & np.isin(columns.recording.codes, codes))
        if not len(rows):
            continue
        yield Finding(
            code="recordings_shared_with_corpus",
            subject=corpus,
            severity=INFO,
            count=len(rows),
            total=len(columns),
            sentence=(
                f"{some(len(rows), 'clip')} of {len(columns):,} {'names' if len(rows) == 1 else 'name'} one of "
                f"{some(len(codes), 'recording')} that {corpus} names too: the same footage where both use the same "
                "ids, e.g. of one video site."
            ),
            action=(
                "Look at a few; if they are the same footage, do not train on one corpus and judge on the other."
            ),
            examples=examples(columns, rows, (columns.recording[int(row)] for row in rows)),
            data={"recordings": len(codes)},
            rows=rows,
        )
