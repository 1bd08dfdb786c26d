import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.corpora.importers import a3d
from annotations.corpora.importers.reading import Reading
from tests.shared_data import shared
from tests.unit.annotations.corpora.importers.readers import contradictions, labels, run, spans

KEY = "LNT8NB2Dv-E_000001"


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "video_name": "LNT8NB2Dv-E", "idx": "000001", "clip_start": "000021", "clip_end": "000030",
        "ego_envolve": True, "ego_only": False, "target": [0, 0, 0, 1, 1, 1, 1, 0, 0, 0], **changes,
    }  # fmt: skip


def read(tmp_path: Path, records: Any) -> tuple:  # type: ignore[type-arg]
    (tmp_path / "A3D_labels.json").write_text(json.dumps(records))
    return run(a3d, tmp_path)


def test_the_published_labels() -> None:
    rows, rejections = run(a3d, shared("data", "annotations", "a3d"))
    assert (len(rows), rejections) == (1500, [])
    assert len(labels(rows)) == len(spans(rows)) == 1498
    assert spans(rows)[KEY] == (4_000_000, 13_100_000)
    involved = [(row.metadata["ego_involved"], row.metadata["ego_only"]) for row in rows]
    assert [involved.count(pair) for pair in [(False, False), (True, False), (True, True), (False, True)]] == [
        586, 572, 341, 1,
    ]  # fmt: skip
    found = contradictions(rows)
    assert sum(messages == ["ego_only is true, ego_envolve is false"] for messages in found.values()) == 1
    assert sum(messages[0].startswith("target marks no frame") for messages in found.values()) == 2
    assert len(found) == 3


def test_a_clip_is_filled_from_its_record(tmp_path: Path) -> None:
    (row,), rejections = read(tmp_path, {KEY: entry()})
    assert rejections == []
    assert (row.name, row.source, row.recording, row.split) == (KEY, "A3D", "LNT8NB2Dv-E", "")
    assert row.record == {KEY: entry()}
    assert row.metadata == {
        "ego_involved": True, "ego_only": False, "start_frame_in_recording": 21, "end_frame_in_recording": 31,
        "declared": {"frames": 10, "fps": [10, 1], "duration_us": 1_000_000, "start_frame": 3, "end_frame": 7},
    }  # fmt: skip
    assert (labels([row]), spans([row])) == ({KEY: "yes"}, {KEY: (300_000, 700_000)})


def test_a_pickle_says_the_same_as_its_json(tmp_path: Path) -> None:
    records = {KEY: entry(), "LNT8NB2Dv-E_000002": entry(idx="000002")}
    arrays = {key: {**record, "target": np.array(record["target"])} for key, record in records.items()}
    (tmp_path / "A3D_labels.pkl").write_bytes(pickle.dumps(arrays))
    pickled, rejections = run(a3d, tmp_path)
    assert rejections == []
    written, _ = read(tmp_path, records)
    reading = Reading(tmp_path)
    assert len(list(a3d.read(reading))) == 2
    assert reading.left_aside == ["A3D_labels.pkl"]
    assert [(row.name, row.row, row.answers, row.metadata, row.record) for row in pickled] == [
        (row.name, row.row, row.answers, row.metadata, row.record) for row in written
    ]


class RunsACommand:
    def __reduce__(self) -> Any:
        return os.system, ("touch hacked",)


def test_a_malicious_pickle_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "A3D_labels.pkl").write_bytes(pickle.dumps({KEY: entry(target=RunsACommand())}))
    rows, (rejection,) = run(a3d, tmp_path)
    assert (rows, rejection.row) == ([], None)
    assert rejection.reason == "the pickle is not read: it names posix.system, which is not read"
    assert not (tmp_path / "hacked").exists()


def test_a_pickle_that_ends_the_process_ends_only_its_child(tmp_path: Path) -> None:
    nested_key = b"(" + b")" + b"\x85" * 3_000_000  # hashing tuples nested so deep runs out of C stack
    (tmp_path / "A3D_labels.pkl").write_bytes(b"\x80\x02}" + nested_key + b"Ns.")
    rows, (rejection,) = run(a3d, tmp_path)
    assert rows == []
    assert rejection.reason.startswith("the pickle is not read: ")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"clip_end": "000031"}, ["target", "clip_start", "clip_end"]),
        ({"idx": "000002"}, ["video_name", "idx"]),
        ({"ego_envolve": False, "ego_only": True}, ["ego_only", "ego_envolve"]),
        ({"target": [0] * 10}, ["target"]),
    ],
)
def test_a_contradiction_is_named_and_the_clip_taken(
    tmp_path: Path, changes: dict[str, Any], fields: list[str]
) -> None:
    (row,), rejections = read(tmp_path, {KEY: entry(**changes)})
    assert rejections == []
    assert [item["fields"] for item in row.metadata["inconsistent"]] == [fields]


def test_a_clip_without_a_marked_frame_has_no_answers(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, {KEY: entry(target=[0] * 10)})
    assert row.answers == ()


def test_several_segments_make_no_span_and_are_kept(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, {KEY: entry(target=[1, 1, 0, 0, 1, 0, 0, 0, 0, 1])})
    assert (labels([row]), spans([row])) == ({KEY: "yes"}, {})
    assert row.metadata["segments_us"] == [[0, 200_000], [400_000, 500_000], [900_000, 1_000_000]]


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("../x", entry(), ""),
        (KEY, 1, ""),
        (KEY, entry(video_name=None), "video_name"),
        (KEY, entry(video_name=" "), "video_name"),
        (KEY, entry(video_name="x" * 201), "video_name"),
        (KEY, entry(idx=7), "idx"),
        (KEY, entry(clip_start=21), "clip_start"),
        (KEY, entry(clip_end=None), "clip_end"),
        (KEY, entry(target=None), "target"),
        (KEY, entry(target=[]), "target"),
        (KEY, entry(target="01"), "target"),
        (KEY, entry(target=[0, 2]), "target"),
        (KEY, entry(target=[0, 0.5]), "target"),
        (KEY, entry(target=[0, None]), "target"),
        (KEY, entry(target=[0, [1]]), "target"),
        (KEY, entry(ego_envolve="yes"), "ego_envolve"),
        (KEY, entry(ego_only=1), "ego_only"),
    ],
)
def test_a_bad_entry_is_rejected_and_the_next_is_read(
    tmp_path: Path, key: str, value: Any, field: str
) -> None:
    (row,), (rejection,) = read(tmp_path, {key: value, "LNT8NB2Dv-E_000007": entry(idx="000007")})
    assert (rejection.file, rejection.row, rejection.field) == ("A3D_labels.json", 1, field)
    assert (row.row, contradictions([row])) == (2, {})


def test_a_folder_without_labels_is_rejected_as_a_whole(tmp_path: Path) -> None:
    _, (rejection,) = run(a3d, tmp_path)
    assert rejection.reason == "holds no A3D_labels.pkl or A3D_labels.json"
