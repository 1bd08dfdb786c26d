"""The canonical form of a dataset: one line of JSON per case, and the hash over all of them.

A dataset's canonical text is one header line and one line per record, sorted by video name (as UTF-8), each
ended by a line feed. A line is JSON in UTF-8 with sorted keys, no spaces and no floating-point numbers. The content
hash is the SHA-256 of that text; the CrashChat export carries the text as `records.jsonl`, so anybody can
check it with sha256sum.

The hash covers what was said and where it came from: the split parameters, and for every clip its name,
bytes, source, recording, duration, corpus and licence, split, guideline and prompt versions, and the six
answers with their lineage down to who approved them and when. It does not cover the version's number,
database id, note, creator or creation time. So freezing unchanged work gives the same hash, and approving
the same words anew gives another.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NotRequired, TypedDict

FORMAT: Final = "crashdesk-dataset/1"


class Lineage(TypedDict):
    """Where an approved answer came from. `author`: user name, model version, or the import's origin.

    `approved_unseen`: there, and true, where `approved_by` is not a user name but an auto-approval policy in words.
    """

    answer_id: int
    author_kind: str
    author: str
    adapter: str
    prompt_version: str
    answered_at: str
    draft_answer_id: int | None
    draft_author_kind: str
    draft_author: str
    approved_at: str
    approved_by: str
    approved_unseen: NotRequired[bool]


class RecordAnswer(TypedDict):
    """One of a record's six answers; `value` has the kind's shape (annotations/cases/kinds.py)."""

    state: str
    value: dict[str, Any] | None
    lineage: Lineage


class RecordGuideline(TypedDict):
    """`prompts`: kind to prompt version, the first twelve hexadecimal digits of the wording's SHA-256."""

    name: str
    version: int
    prompts: dict[str, str]


class Record(TypedDict):
    """One case as frozen. `answers`: kind to answer. Times are integer microseconds of the clip."""

    corpus: str
    licence: str
    video: str
    sha256: str | None
    source: str
    recording: str
    duration_us: int | None
    guideline: RecordGuideline
    answers: dict[str, RecordAnswer]


def approved_unseen(record: Mapping[str, Any]) -> bool:
    """Whether a policy approved any of its answers, so that no person has looked."""
    return any(answer["lineage"].get("approved_unseen", False) for answer in record["answers"].values())


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with six decimals and a Z. Raises ValueError for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical_bytes(content: Mapping[str, Any]) -> bytes:
    """One canonical line without its line feed. Raises TypeError when a float hides anywhere inside."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        # Reading back is many times faster than walking the values, and only a float calls these.
        json.loads(text, parse_float=_refuse, parse_constant=_refuse)
    except _FloatFound:
        where = next(_floats(content, "record"))
        raise TypeError(f"{where} is a floating-point number; times are whole microseconds") from None
    return text.encode()


class _FloatFound(Exception):
    pass


def _refuse(text: str) -> None:
    raise _FloatFound


def _floats(value: Any, where: str) -> Iterator[str]:
    """Where floats are, as a path of names."""
    if isinstance(value, float):
        yield where
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _floats(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield from _floats(inner, f"{where}[{position}]")


def header_line(*, split_seed: int, val_share: float, test_share: float) -> bytes:
    """The canonical first line. Shares are written as the shortest decimal that gives the same number."""
    split = {"seed": split_seed, "val_share": repr(float(val_share)), "test_share": repr(float(test_share))}
    return canonical_bytes({"format": FORMAT, "split": split})


def record_line(split: str, record: Mapping[str, Any]) -> bytes:
    """The canonical line of one record in its split."""
    return canonical_bytes({"split": split, "record": record})


def content_hash(header: bytes, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Hexadecimal SHA-256 of the canonical text of these (split, record) pairs, in whatever order they come."""
    digest = Digest(header)
    for split, record in sorted(rows, key=lambda row: order_of(row[1])):
        digest.add(split, record)
    return digest.hexdigest()


def order_of(record: Mapping[str, Any]) -> bytes:
    """What records are sorted by: the video's name in UTF-8."""
    return str(record["video"]).encode()


class Digest:
    """The content hash, fed record by record in canonical order."""

    def __init__(self, header: bytes) -> None:
        self._sha = hashlib.sha256(header + b"\n")
        self._last: bytes | None = None

    def add(self, split: str, record: Mapping[str, Any]) -> bytes:
        """Take the next record and return its line. Raises ContentChanged when it belongs further up."""
        place = order_of(record)
        if self._last is not None and place <= self._last:
            raise ContentChanged("the records are not in the order they were frozen in")
        self._last = place
        line = record_line(split, record)
        self._sha.update(line + b"\n")
        return line

    def hexdigest(self) -> str:
        return self._sha.hexdigest()

    def check(self, expected: str) -> None:
        """Raises ContentChanged when what was fed is not the content of that hash."""
        if self.hexdigest() != expected:
            raise ContentChanged(f"the records hash to {self.hexdigest()}, not to {expected}")


class ContentChanged(ValueError):
    """Stored records are not what was frozen."""
