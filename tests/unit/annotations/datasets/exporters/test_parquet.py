"""The Parquet file: typed rows with lineage, and the same bytes every time."""

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from annotations.cases.kinds import Kind
from annotations.datasets.exporters import crashchat, parquet
from annotations.datasets.records import ContentChanged
from tests.unit.annotations.datasets.records import make_record, make_version, small_version

ROOT = Path(__file__).resolve().parents[5]


def test_every_answer_is_a_row_with_its_lineage(tmp_path: Path) -> None:
    facts, rows = small_version()
    parquet.write(tmp_path / "export.parquet", facts, rows)
    table = pq.read_table(tmp_path / "export.parquet")
    assert table.num_rows == 5 * 6
    assert table.schema.names == list(parquet.COLUMNS)
    first = {row["kind"]: row for row in table.to_pylist() if row["video"] == "a.mp4"}
    assert list(first) == Kind.values
    span = first[Kind.CRASH_LOCALIZATION]
    assert (span["start_us"], span["end_us"], span["at_us"], span["label"]) == (
        3_900_000,
        5_033_367,
        None,
        None,
    )
    assert first[Kind.CRASH_RECOGNITION]["label"] == "yes"
    assert (span["author"], span["draft_author"], span["approved_by"]) == ("rana", "tiny-1", "lee")
    assert span["answered_at"] == datetime(2026, 3, 1, 10, 0, 0, 1, tzinfo=UTC)
    absent = next(
        r for r in table.to_pylist() if r["video"] == "b.mp4" and r["kind"] == Kind.CRASH_LOCALIZATION
    )
    assert (absent["state"], absent["start_us"]) == ("absent", None)


def test_what_a_policy_approved_is_told_apart(tmp_path: Path) -> None:
    seen, unseen = make_record("a.mp4"), make_record("b.mp4")
    for answer in unseen["answers"].values():
        answer["lineage"] |= {"approved_by": "policy 3", "approved_unseen": True}
    facts, rows = make_version([("train", seen), ("train", unseen)])
    parquet.write(tmp_path / "export.parquet", facts, rows)
    table = pq.read_table(tmp_path / "export.parquet", columns=["video", "approved_unseen"]).to_pylist()
    assert {(row["video"], row["approved_unseen"]) for row in table} == {("a.mp4", False), ("b.mp4", True)}


def test_the_metadata_names_the_version(tmp_path: Path) -> None:
    facts, rows = small_version()
    parquet.write(tmp_path / "export.parquet", facts, rows)
    metadata = pq.read_schema(tmp_path / "export.parquet").metadata
    assert metadata[b"crashdesk.content_hash"].decode() == facts.content_hash
    assert metadata[b"crashdesk.version"] == b"3"
    assert metadata[b"crashdesk.val_share"] == b"0.1"


def test_many_records_go_in_several_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_PER_GROUP", 60)
    facts, rows = make_version([("train", make_record(f"{n:03}.mp4")) for n in range(25)])
    parquet.write(tmp_path / "export.parquet", facts, rows)
    file = pq.ParquetFile(tmp_path / "export.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [60, 60, 30]


def test_records_that_were_not_frozen_are_refused(tmp_path: Path) -> None:
    facts, rows = small_version()
    with pytest.raises(ContentChanged):
        parquet.write(tmp_path / "export.parquet", facts, rows[1:])


def test_both_formats_have_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    script = """
import hashlib, pathlib, sys
from annotations.datasets.exporters import crashchat, parquet
from tests.unit.annotations.datasets.records import small_version
facts, rows = small_version()
for exporter in (crashchat, parquet):
    path = pathlib.Path(sys.argv[1])
    exporter.write(path, facts, rows)
    print(hashlib.sha256(path.read_bytes()).hexdigest())
"""
    from_here = _hashes(tmp_path)
    elsewhere = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "other")],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}", "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert elsewhere == from_here


def _hashes(tmp_path: Path) -> list[str]:
    facts, rows = small_version()
    found = []
    for exporter in (crashchat, parquet):
        path = tmp_path / "export"
        exporter.write(path, facts, rows)
        found.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return found
