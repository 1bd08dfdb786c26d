"""The CrashChat zip: layout, exact seconds, the same bytes every time, and the way back."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.cases.kinds import Kind
from annotations.corpora.importers.crashchat import kind_of, read_stream, seconds_to_us
from annotations.corpora.importers.rows import VideoRow
from annotations.datasets.exporters import crashchat
from annotations.datasets.records import ContentChanged
from annotations.datasets.splits import SPLITS
from model_assist.crashchat.parsing import format_seconds
from tests.shared_data import shared
from tests.unit.annotations.datasets.records import PROMPTS, make_record, make_version, small_version


def written(tmp_path: Path, name: str = "export.zip") -> Path:
    facts, rows = small_version()
    crashchat.write(tmp_path / name, facts, rows)
    return tmp_path / name


@given(st.integers(0, 10**13))
def test_seconds_are_exact_and_read_back(time_us: int) -> None:
    text = crashchat.seconds_text(time_us)
    assert seconds_to_us(text) == time_us
    assert text == format_seconds(time_us)
    decimals = text.split(".")[1]
    assert 1 <= len(decimals) <= 6
    assert len(decimals) == 1 or not decimals.endswith("0")


@pytest.mark.parametrize(
    ("time_us", "text"),
    [(0, "0.0"), (3_900_000, "3.9"), (5_000_000, "5.0"), (5_033_367, "5.033367"), (100, "0.0001")],
)
def test_seconds_read_like_this(time_us: int, text: str) -> None:
    assert crashchat.seconds_text(time_us) == text


@pytest.mark.parametrize("value", [-1, 1.0, True, None])
def test_anything_but_microseconds_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="whole number of microseconds"):
        crashchat.seconds_text(value)


def test_an_answer_that_says_nothing_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="unparsable"):
        crashchat.answer_text(Kind.CRASH_RECOGNITION, "unparsable", None)


def test_a_zip_holds_card_records_and_six_files_per_split(tmp_path: Path) -> None:
    with ZipFile(written(tmp_path)) as archive:
        names = archive.namelist()
        clips = {
            name: [row["video"] for row in json.loads(archive.read(name))]
            for name in names
            if name.endswith(".json")
        }
    assert names[:2] == ["README.md", "records.jsonl"]
    assert len(names) == 2 + 18
    assert clips["crashdesk_crash_recognition_train.json"] == [["a.mp4"], ["b.mp4"], ["videos/c.mp4"]]
    assert clips["crashdesk_crash_localization_train.json"] == [["a.mp4"], ["videos/c.mp4"]]
    assert clips["crashdesk_pre_crash_localization_val.json"] == []
    assert clips["crashdesk_cause_reasoning_val.json"] == [["d.mp4"]]


def test_the_records_file_has_the_content_hash(tmp_path: Path) -> None:
    facts, _ = small_version()
    with ZipFile(written(tmp_path)) as archive:
        assert hashlib.sha256(archive.read("records.jsonl")).hexdigest() == facts.content_hash


def test_a_row_looks_like_the_published_ones(tmp_path: Path) -> None:
    published = json.loads(
        shared("data", "crashchat", "crashchat_dada_video_total_crash_localization_val.json").read_text()
    )[0]
    row = crashchat.conversation(make_record("a.mp4"), Kind.CRASH_LOCALIZATION, "When?")
    assert row is not None
    assert row.keys() == published.keys() | {"recording"}
    assert [turn.keys() for turn in row["conversations"]] == [
        turn.keys() for turn in published["conversations"]
    ]
    assert row["conversations"][0] == {"from": "human", "value": "<video>\nWhen?"}
    assert row["conversations"][1] == {"from": "gpt", "value": "3.9 - 5.033367 seconds"}


def test_published_rows_go_through_unchanged() -> None:
    folder = shared("data", "crashchat")
    for path in sorted(folder.glob("*.json")):
        kind = kind_of(path.name)
        assert kind is not None
        published = json.loads(path.read_text())[:300]
        with path.open("rb") as stream:
            rows = [
                row for row, _ in zip(read_stream(stream, file=path.name, kind=kind), published, strict=False)
            ]
        for row, original in zip(rows, published, strict=True):
            assert isinstance(row, VideoRow)
            record = {
                "video": row.name,
                "source": row.source,
                "recording": row.recording,
                "answers": {kind: {"state": "valued", "value": row.answers[0].value}},
            }
            again = crashchat.conversation(record, kind, row.answers[0].prompt)
            assert again is not None
            assert again.pop("recording") == row.recording
            original["conversations"][1]["value"] = original["conversations"][1]["value"].strip()
            assert again == original


def test_the_importer_reads_the_same_answers_back(tmp_path: Path) -> None:
    _, rows = small_version()
    expected = {
        (record["video"], kind): (answer["value"], record["source"], record["recording"], PROMPTS[kind])
        for _, record in rows
        for kind, answer in record["answers"].items()
        if answer["state"] != "absent"
    }
    found = {}
    with ZipFile(written(tmp_path)) as archive:
        for name in archive.namelist():
            if not name.endswith(".json"):
                continue
            kind = kind_of(name)
            assert kind is not None
            for row in read_stream(io.BytesIO(archive.read(name)), file=name, kind=kind):
                assert isinstance(row, VideoRow), row
                (answer,) = row.answers
                found[row.name, kind] = (answer.value, row.source, row.recording, answer.prompt)
    assert found == expected


def test_the_same_version_gives_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path, "one.zip").read_bytes() == written(tmp_path, "two.zip").read_bytes()


def test_the_card_counts_and_quotes(tmp_path: Path) -> None:
    facts, _ = small_version()
    with ZipFile(written(tmp_path)) as archive:
        text = archive.read("README.md").decode()
    assert facts.content_hash in text
    assert "# Night drives: version 3" in text
    assert "| train | 3 | 2 | 1 | 3 |" in text
    assert "| licence of Night drives | CC BY 4.0 |" in text
    assert "| crash_description | 5 | 0 | 0 | 5 | 2 |" in text
    assert "no source holds clips both with and without a crash" in text
    assert f"| {Kind.CAUSAL_REASONING.value} | What about causal reasoning? Answer briefly. |" in text


def test_the_card_does_not_warn_of_a_mixed_source(tmp_path: Path) -> None:
    facts, rows = make_version(
        [
            ("train", make_record("a.mp4", source="S")),
            ("train", make_record("b.mp4", crash=False, source="S")),
        ]
    )
    crashchat.write(tmp_path / "export.zip", facts, rows)
    with ZipFile(tmp_path / "export.zip") as archive:
        assert "Beware" not in archive.read("README.md").decode()


def test_records_that_were_not_frozen_are_refused(tmp_path: Path) -> None:
    facts, rows = small_version()
    rows[0][1]["answers"]["crash_description"]["value"] = {"text": "something else"}
    with pytest.raises(ContentChanged, match=facts.content_hash):
        crashchat.write(tmp_path / "export.zip", facts, rows)
    assert not (tmp_path / "export.zip").exists()


def test_progress_is_told_and_can_stop_the_work(tmp_path: Path) -> None:
    facts, rows = small_version()
    told: list[int] = []
    crashchat.write(tmp_path / "export.zip", facts, rows, step=told.append)
    assert told == [1, 2, 3, 4, 5]

    def stop(done: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        crashchat.write(tmp_path / "stopped.zip", facts, rows, step=stop)
    assert not (tmp_path / "stopped.zip").exists()


def test_file_names_tell_their_kind_to_the_reader() -> None:
    for split in SPLITS:
        for kind in Kind.values:
            assert kind_of(crashchat.file_name(kind, split)) == kind
