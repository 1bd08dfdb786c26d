from collections import Counter
from pathlib import Path

import pytest

from annotations.corpora.importers import scad
from tests.shared_data import shared
from tests.unit.annotations.corpora.importers.readers import labels, run


def test_the_published_lists() -> None:
    rows, rejections = run(scad, shared("data", "annotations", "scad"))
    assert rejections == []
    assert Counter((row.split, answer.value["label"]) for row in rows for answer in row.answers) == {
        ("train", "no"): 445, ("train", "yes"): 445, ("test", "no"): 116, ("test", "yes"): 116,
    }  # fmt: skip
    by_label = {
        label: {row.recording for row in rows if labels([row])[row.name] == label} for label in ("yes", "no")
    }
    assert len(by_label["no"] & by_label["yes"]) > len(by_label["no"]) * 9 // 10  # one video gives both kinds
    in_split = {split: {row.recording for row in rows if row.split == split} for split in ("train", "test")}
    assert not in_split["train"] & in_split["test"]


def test_a_line_is_a_clip(tmp_path: Path) -> None:
    (tmp_path / "accident_test.txt").write_text("normal/000028_1.mp4\nanomalous/RoadAccidents001_x264_12.mp4")
    (normal, crash), rejections = run(scad, tmp_path)
    assert rejections == []
    assert (normal.name, normal.source, normal.recording, normal.split) == (
        "normal/000028_1.mp4", "SCAD", "000028", "test",
    )  # fmt: skip
    assert (normal.metadata, normal.record) == ({"segment": 1}, "normal/000028_1.mp4")
    assert (crash.recording, crash.metadata) == ("RoadAccidents001_x264", {"segment": 12})
    assert labels([normal, crash]) == {normal.name: "no", crash.name: "yes"}


@pytest.mark.parametrize(
    "bad",
    ["000028_1.mp4", "other/000028_1.mp4", "normal/000028.mp4", "/normal/000028_1.mp4", "normal/../normal/a_1.mp4",
     "normal/_1.mp4", f"normal/{'x' * 201}_1.mp4", f"normal/{'x' * 300}_1.mp4", "normal/"],
)  # fmt: skip
def test_a_bad_line_is_rejected_and_the_next_is_read(tmp_path: Path, bad: str) -> None:
    (tmp_path / "accident_train.txt").write_text(f"{bad}\nnormal/a_1.mp4\n")
    (row,), (rejection,) = run(scad, tmp_path)
    assert (rejection.row, rejection.field, row.row) == (1, "path", 2)


def test_a_clip_in_both_lists_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "accident_train.txt").write_text("normal/a_1.mp4\n")
    (tmp_path / "accident_test.txt").write_text("normal/a_1.mp4\n")
    rows, (rejection,) = run(scad, tmp_path)
    assert [row.split for row in rows] == ["test"]
    assert rejection.reason == "normal/a_1.mp4 is named by row 1 of accident_test.txt already"


def test_a_list_of_another_name_has_no_split(tmp_path: Path) -> None:
    file = tmp_path / "mine.lst"
    file.write_text("normal/a_1.mp4")
    (row,), _ = run(scad, file)
    assert row.split == ""


def test_a_folder_without_lists_is_rejected_as_a_whole(tmp_path: Path) -> None:
    _, (rejection,) = run(scad, tmp_path)
    assert (rejection.row, rejection.reason) == (None, "holds no accident_train.txt or accident_test.txt")
