"""One Parquet file: a row per answer, typed columns, lineage beside every value, the version in the metadata.

The bytes depend on the version and the pyarrow build alone.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from annotations.cases.kinds import Kind
from annotations.datasets.exporters.facts import Rows, Step, VersionFacts
from annotations.datasets.records import FORMAT

SUFFIX: Final = ".parquet"
CONTENT_TYPE: Final = "application/vnd.apache.parquet"
ROWS_PER_GROUP: Final = 12_000

_MOMENT: Final = pa.timestamp("us", tz="UTC")
COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "corpus": pa.string(),
    "licence": pa.string(),
    "video": pa.string(),
    "sha256": pa.string(),
    "source": pa.string(),
    "recording": pa.string(),
    "duration_us": pa.int64(),
    "split": pa.string(),
    "guideline": pa.string(),
    "guideline_version": pa.int64(),
    "kind": pa.string(),
    "question_version": pa.string(),
    "state": pa.string(),
    "label": pa.string(),
    "text": pa.string(),
    "start_us": pa.int64(),
    "end_us": pa.int64(),
    "at_us": pa.int64(),
    "answer_id": pa.int64(),
    "author_kind": pa.string(),
    "author": pa.string(),
    "adapter": pa.string(),
    "answer_prompt_version": pa.string(),
    "answered_at": _MOMENT,
    "draft_answer_id": pa.int64(),
    "draft_author_kind": pa.string(),
    "draft_author": pa.string(),
    "approved_at": _MOMENT,
    "approved_by": pa.string(),
    "approved_unseen": pa.bool_(),
}
"""Column names and types. Of the value columns only those of the row's kind are filled; times are microseconds."""


def schema(facts: VersionFacts) -> pa.Schema:
    """Columns, and the version's facts as `crashdesk.*` metadata."""
    metadata = {
        "crashdesk.format": FORMAT,
        "crashdesk.content_hash": facts.content_hash,
        "crashdesk.version": str(facts.number),
        "crashdesk.note": facts.note,
        "crashdesk.frozen_at": facts.frozen_at,
        "crashdesk.guideline": facts.guideline,
        "crashdesk.split_seed": str(facts.split_seed),
        "crashdesk.val_share": repr(float(facts.val_share)),
        "crashdesk.test_share": repr(float(facts.test_share)),
        "crashdesk.prompts": json.dumps(dict(facts.prompts), ensure_ascii=False, sort_keys=True),
    }
    return pa.schema([pa.field(name, kind) for name, kind in COLUMNS.items()], metadata=metadata)


def answer_rows(split: str, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The six rows of one record, in the fixed order of kinds."""
    shared = {name: record[name] for name in ("corpus", "licence", "video", "sha256", "source", "recording")}
    shared |= {"duration_us": record["duration_us"], "split": split}
    shared |= {"guideline": record["guideline"]["name"], "guideline_version": record["guideline"]["version"]}
    rows = []
    for kind in Kind.values:
        answer = record["answers"][kind]
        lineage = dict(answer["lineage"])
        row = dict.fromkeys(COLUMNS) | shared | (answer["value"] or {})
        row |= {"kind": kind, "state": answer["state"]}
        row["question_version"] = record["guideline"]["prompts"][kind]
        row["answer_prompt_version"] = lineage.pop("prompt_version")
        for name in ("answered_at", "approved_at"):
            row[name] = datetime.fromisoformat(lineage.pop(name))
        rows.append(row | {"approved_unseen": False} | lineage)
    return rows


def write(target: Path, facts: VersionFacts, rows: Rows, *, step: Step = lambda done: None) -> None:
    """Write the file, a row group at a time.

    Raises ContentChanged when the records are not those of `facts.content_hash`.
    """
    columns, digest = schema(facts), facts.digest()
    waiting: list[dict[str, Any]] = []
    with pq.ParquetWriter(target, columns, compression="zstd", version="2.6") as writer:
        for done, (split, record) in enumerate(rows, start=1):
            digest.add(split, record)
            waiting += answer_rows(split, record)
            if len(waiting) >= ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(waiting, schema=columns))
                waiting.clear()
            step(done)
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, schema=columns))
    digest.check(facts.content_hash)
