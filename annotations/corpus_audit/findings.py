"""A finding of the audit: a stable code, what it is about, how bad, how much, in plain words, with examples."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np

from annotations.corpus_audit.columns import UNKNOWN, Columns, Ints

INFO, WARNING, ERROR = "info", "warning", "error"
SEVERITIES: Final = (INFO, WARNING, ERROR)
"""From the least to the worst.

error: a model trained or judged on this can score well for a wrong reason, or an answer is impossible.
warning: part of the data is likely not what it seems; look before labelling. info: worth knowing.
"""
SHOWN_EXAMPLES: Final = 20


@dataclass(frozen=True)
class Example:
    """One clip to look at, with the value that made it stand out. `case` None: it has none."""

    video: int
    case: int | None
    name: str
    value: str = ""


@dataclass(frozen=True)
class Finding:
    """`code` and `subject` together name it in every audit of the corpus.

    `count` of `total` clips (or answers, as the sentence says) are concerned. `rows`: all of those clips, where they
    can be listed; `examples` are the first of them. `data`: the numbers behind it, for plots, plain JSON.
    """

    code: str
    subject: str
    severity: str
    count: int
    total: int
    sentence: str
    action: str
    examples: tuple[Example, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    rows: Ints | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.code, self.subject


def examples(columns: Columns, rows: Iterable[int], values: Iterable[str] = ()) -> tuple[Example, ...]:
    """The first rows as examples, with one value each where `values` are given."""
    shown = [int(row) for row in islice(rows, SHOWN_EXAMPLES)]
    texts = list(islice(values, len(shown))) or [""] * len(shown)
    return tuple(
        Example(
            int(columns.videos[row]),
            None if columns.cases[row] == UNKNOWN else int(columns.cases[row]),
            columns.names[row],
            value,
        )
        for row, value in zip(shown, texts, strict=True)
    )


def rows_of(mask: Any) -> Ints:
    """The rows where a mask holds."""
    return np.flatnonzero(mask).astype(np.int64)


def some(count: int, one: str, many: str = "") -> str:
    """`1 clip`, `1,234 clips`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def plain(kind: str) -> str:
    """A code name as words: 'crash_recognition' -> 'crash recognition'."""
    return kind.replace("_", " ")


def percent(share: float) -> str:
    """A share of 0 to 1 in words: one decimal, and never 0 or 100 where it is neither."""
    text = f"{100 * share:.1f}"
    if text == "100.0" and share < 1:
        return "over 99.9 %"
    if text == "0.0" and share > 0:
        return "under 0.1 %"
    return f"{text.removesuffix('.0')} %"


def seconds(us: int | float) -> str:
    """Microseconds as seconds, as short as exact: 1500000 -> '1.5 s'."""
    text = f"{us / 1_000_000:.6f}".rstrip("0").rstrip(".")
    return f"{text} s"
