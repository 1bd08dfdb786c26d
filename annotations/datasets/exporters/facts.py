"""What an exporter needs to know of a dataset version besides its records."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from annotations.datasets.records import Digest, header_line

Rows = Iterable[tuple[str, Mapping[str, Any]]]
"""(split, record) in canonical order; a record as in annotations/datasets/records.py."""

Step = Callable[[int], None]
"""Told how many records are done, after each; may raise to stop the export."""


@dataclass(frozen=True)
class VersionFacts:
    """The unchanging facts of a version. `prompts`: kind to the question's words; `frozen_at`: ISO 8601, UTC."""

    number: int
    content_hash: str
    note: str
    split_seed: int
    val_share: float
    test_share: float
    record_count: int
    frozen_at: str
    guideline: str
    prompts: Mapping[str, str]

    @property
    def header(self) -> bytes:
        return header_line(split_seed=self.split_seed, val_share=self.val_share, test_share=self.test_share)

    def digest(self) -> Digest:
        """A fresh running hash, to hold the records against `content_hash` while they are written."""
        return Digest(self.header)
