"""The ledger as a table: one line for every review."""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Final

from annotations.cases.kinds import Kind
from annotations.effort.ledger import Asked, Entry, entries

BEFORE: Final = (
    "review", "case", "corpus", "video", "source", "recording", "person", "submitted_at", "arm", "active_seconds",
    "label_studio_lead_seconds", "moments", "keys", "typed", "accepted", "keystroke_free",
)  # fmt: skip
OF_KIND: Final = ("change", "distance", "start_shift_seconds", "end_shift_seconds")
COLUMNS: Final = (*BEFORE, *(f"{kind}_{name}" for kind in Kind.values for name in OF_KIND))
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def lines(asked: Asked) -> Iterator[str]:
    """CSV, with its heading. Names that a spreadsheet would take for a formula begin with an apostrophe."""
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for entry in entries(asked):
        writer.writerow(_row(entry))
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _row(entry: Entry) -> list[object]:
    row: list[object] = [
        entry.review, entry.case, _plain(entry.corpus_name), _plain(entry.video), _plain(entry.source),
        _plain(entry.recording[1]), _plain(entry.username), entry.submitted_at.isoformat(), entry.arm.value,
        "" if entry.active_us is None else entry.active_us / 1e6,
        "" if entry.lead_seconds is None else entry.lead_seconds, entry.moments, entry.keys, entry.typed,
        int(entry.accepted), int(entry.keystroke_free),
    ]  # fmt: skip
    for kind in Kind.values:
        one = entry.changes.get(kind)
        if one is None:
            row += [""] * len(OF_KIND)
        else:
            row += [
                one.change,
                f"{one.distance:.6g}",
                _seconds(one.start_shift_us),
                _seconds(one.end_shift_us),
            ]
    return row


def _seconds(shift_us: int | None) -> object:
    return "" if shift_us is None else shift_us / 1e6


def _plain(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULA) else name
