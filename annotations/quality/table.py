"""The agreement report as a long table: one line for every number."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Final

from annotations.quality.agreement import Report
from annotations.quality.cells import Result

COLUMNS: Final = (
    "section", "group", "kind", "arm", "measure", "unit", "value", "low", "high", "count", "recordings", "standing",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def lines(report: Report) -> Iterator[str]:
    """CSV, with its heading. Names that a spreadsheet would take for a formula begin with an apostrophe."""
    buffer = StringIO()
    writer = csv.writer(buffer)
    for row in (COLUMNS, *_rows(report)):
        writer.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _rows(report: Report) -> Iterator[tuple[object, ...]]:
    for kind in report.kinds:
        for arm in kind.arms:
            yield from _numbers("kind", "", kind.kind, arm.arm, arm.measures)
    for section, groups in (
        ("source", report.sources),
        ("people", report.people),
        ("period", report.periods),
    ):
        for group in groups:
            for found in group.kinds:
                yield from _numbers(
                    section, _plain(" / ".join(group.names)), found.kind, "all", found.measures
                )


def _numbers(
    section: str, group: str, kind: str, arm: str, results: Iterable[Result]
) -> Iterator[tuple[object, ...]]:
    for found in results:
        numbers = [
            "" if number is None else f"{number:.6g}" for number in (found.value, found.low, found.high)
        ]
        yield (
            section, group, kind, arm, found.name, found.unit, *numbers, found.count, found.recordings,
            found.standing.value,
        )  # fmt: skip


def _plain(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name
