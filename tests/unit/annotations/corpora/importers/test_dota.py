import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annotations.corpora.importers import dota
from annotations.corpora.importers.reading import Reading
from tests.shared_data import shared
from tests.unit.annotations.corpora.importers.readers import contradictions, labels, run, spans

KEY = "abcdefghij-_000199"


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "video_start": 199, "video_end": 305, "anomaly_start": 40, "anomaly_end": 70,
        "anomaly_class": "ego: leave_to_right", "num_frames": 107, "subset": "train", **changes,
    }  # fmt: skip


def read(tmp_path: Path, records: Any) -> tuple:  # type: ignore[type-arg]
    text = records if isinstance(records, str) else json.dumps(records)
    (tmp_path / "metadata_train.json").write_text(text)
    return run(dota, tmp_path)


def test_the_published_files() -> None:
    rows, rejections = run(dota, shared("data", "annotations", "dota"))
    assert (len(rows), rejections) == (4677, [])
    assert Counter(row.split for row in rows) == {"train": 3275, "val": 1402}
    assert len({row.metadata["anomaly_class"] for row in rows}) == 20
    assert len(labels(rows)) == len(spans(rows)) == 4677
    assert spans(rows)["0RJPQ_97dcs_000199"] == (4_000_000, 7_000_000)
    assert list(contradictions(rows)) == ["gXezhrOijmQ_004598"]
    recordings = {row.recording for row in rows if row.split == "train"}
    assert sum(row.recording in recordings for row in rows if row.split == "val") == 1400


def test_the_known_defect_is_named_and_not_repaired() -> None:
    rows, _ = run(dota, shared("data", "annotations", "dota", "metadata_train.json"))
    (row,) = (row for row in rows if "inconsistent" in row.metadata)
    assert row.name == "gXezhrOijmQ_004598"
    assert row.metadata["inconsistent"] == [
        {
            "fields": ["num_frames", "video_start", "video_end"],
            "message": "num_frames is 114, video_end - video_start + 1 is 119",
        },
        {
            "fields": ["anomaly_end", "num_frames"],
            "message": "anomaly_end is 119, num_frames is 114: the event ends after the clip",
        },
    ]
    assert row.metadata["declared"] == {
        "frames": 114, "fps": [10, 1], "duration_us": 11_400_000, "start_frame": 33, "end_frame": 119,
    }  # fmt: skip
    assert spans([row]) == {row.name: (3_300_000, 11_900_000)}


def test_a_clip_is_filled_from_its_record(tmp_path: Path) -> None:
    (row,), rejections = read(tmp_path, {KEY: entry()})
    assert rejections == []
    assert (row.name, row.source, row.recording, row.split) == (KEY, "DoTA", "abcdefghij-", "train")
    assert row.record == {KEY: entry()}
    assert row.metadata == {
        "anomaly_class": "ego: leave_to_right", "ego_involved": True, "anomaly_kind": "leave_to_right",
        "start_frame_in_recording": 199, "end_frame_in_recording": 306,
        "declared": {
            "frames": 107, "fps": [10, 1], "duration_us": 10_700_000, "start_frame": 40, "end_frame": 70,
        },
    }  # fmt: skip
    assert labels([row]) == {KEY: "yes"}
    assert spans([row]) == {KEY: (4_000_000, 7_000_000)}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"num_frames": 106}, ["num_frames", "video_start", "video_end"]),
        ({"anomaly_end": 108}, ["anomaly_end", "num_frames"]),
        ({"anomaly_end": 40}, ["anomaly_start", "anomaly_end"]),
        ({"anomaly_end": 10}, ["anomaly_start", "anomaly_end"]),
        ({"video_start": 198, "video_end": 304}, ["video_start"]),
    ],
)
def test_a_contradiction_is_named_and_the_clip_taken(
    tmp_path: Path, changes: dict[str, Any], fields: list[str]
) -> None:
    (row,), rejections = read(tmp_path, {KEY: entry(**changes)})
    assert rejections == []
    assert [item["fields"] for item in row.metadata["inconsistent"]] == [fields]
    record = entry(**changes)
    assert spans([row]) == {KEY: (record["anomaly_start"] * 100_000, record["anomaly_end"] * 100_000)}


def test_an_end_on_the_last_frame_is_inside_the_clip(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, {KEY: entry(anomaly_end=107)})
    assert contradictions([row]) == {}


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("no-key", entry(), ""),
        (KEY + "\x00", entry(), ""),
        (KEY, [], ""),
        (KEY, None, ""),
        (KEY, {**entry(), "anomaly_start": "40"}, "anomaly_start"),
        (KEY, {**entry(), "anomaly_start": -1}, "anomaly_start"),
        (KEY, {**entry(), "anomaly_end": True}, "anomaly_end"),
        (KEY, {**entry(), "num_frames": 107.5}, "num_frames"),
        (KEY, {**entry(), "video_end": 10**30}, "video_end"),
        (KEY, {**entry(), "anomaly_class": None}, "anomaly_class"),
        (KEY, {**entry(), "subset": "s" * 21}, "subset"),
        (KEY, {**entry(), "extra": "\x00"}, ""),
        (KEY, {"subset": "val"}, "video_start"),
    ],
)
def test_a_bad_entry_is_rejected_and_the_next_is_read(
    tmp_path: Path, key: str, value: Any, field: str
) -> None:
    (row,), (rejection,) = read(tmp_path, {key: value, "good______-_000199": entry()})
    assert (rejection.file, rejection.row, rejection.field) == ("metadata_train.json", 1, field)
    assert row.row == 2


def test_a_clip_named_twice_is_rejected_the_second_time(tmp_path: Path) -> None:
    one = json.dumps(entry())
    rows, (rejection,) = read(tmp_path, f'{{"{KEY}": {one}, "{KEY}": {one}}}')
    assert (len(rows), rejection.reason) == (1, f"{KEY} is named by row 1 already")


def test_a_clip_of_both_files_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "metadata_val.json").write_text(json.dumps({KEY: entry(subset="val")}))
    rows, (rejection,) = read(tmp_path, {KEY: entry()})
    assert [row.split for row in rows] == ["train"]
    assert (rejection.file, rejection.name) == ("metadata_val.json", KEY)
    assert rejection.reason == f"{KEY} is named by row 1 of metadata_train.json already"


def test_the_split_lists_are_compared_with_the_subset(tmp_path: Path) -> None:
    other, third = "bbbbbbbbbbb_000199", "ccccccccccc_000199"
    (tmp_path / "train_split.txt").write_text(f"{third}\n")
    (tmp_path / "val_split.txt").write_text(f"{KEY}\nwhat?\n{third}\n")
    rows, rejections = read(tmp_path, {KEY: entry(), other: entry(), third: entry(subset="")})
    assert contradictions(rows) == {
        KEY: ["subset is 'train', the clip is listed for 'val'"],
        other: ["subset is 'train', the list of that split lacks the clip"],
    }
    assert [row.split for row in rows] == ["train", "train", "train"]
    assert [(item.file, item.row, item.reason) for item in rejections] == [
        ("val_split.txt", 2, "'what?' is not <YouTube id>_<first frame>"),
        ("val_split.txt", 3, f"{third} is listed for train already"),
    ]


def test_broken_json_ends_the_file_after_its_good_rows(tmp_path: Path) -> None:
    rows, (rejection,) = read(tmp_path, json.dumps({KEY: entry()})[:-1] + ', "x": nonsense')
    assert len(rows) == 1
    assert (rejection.row, rejection.reason[:46]) == (2, "the JSON breaks here, the rest is not read: le")


def test_a_list_is_no_dota_file(tmp_path: Path) -> None:
    rows, (rejection,) = read(tmp_path, [])
    assert (rows, rejection.reason) == ([], "not a JSON object: it begins with '['")


def test_progress_counts_all_files(tmp_path: Path) -> None:
    (tmp_path / "val_split.txt").write_text(f"{KEY}\n")
    (tmp_path / "DoTA_urls.txt").write_text("https://example.org\n")
    (tmp_path / "metadata_val.json").write_text(json.dumps({KEY: entry(subset="val")}))
    reading = Reading(tmp_path)
    assert len(list(dota.read(reading))) == 1
    assert reading.position() == reading.total
    assert reading.left_aside == ["DoTA_urls.txt"]
    assert set(reading.files) == {"val_split.txt", "metadata_val.json"}
