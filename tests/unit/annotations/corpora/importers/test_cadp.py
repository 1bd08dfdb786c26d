import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from annotations.corpora.importers import cadp, cadp_boxes
from annotations.corpora.importers.reading import Reading
from tests.shared_data import shared
from tests.unit.annotations.corpora.importers.readers import contradictions, labels, run, spans

VATIC = '0 423 284 601 473 {} 0 0 0 "Bus"'


def key_frame(frame: int, state: str = "Moving") -> dict[str, Any]:
    return {"frame": frame, "x": -1.5, "y": 0, "w": 10, "h": 20.25, "state": state}


def thing(name: str = "_a", *frames: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "type": "Car", "color": "#fff", "keyframes": list(frames) or [key_frame(0)]}


def test_the_published_files() -> None:
    rows, rejections = run(cadp, shared("data", "annotations", "cadp"))
    assert rejections == []
    assert Counter(row.file for row in rows) == {
        "1407.txt": 1,
        "000001.json": 1,
        "segments100_600.json": 1124,
    }
    by_name = {row.name: row for row in rows}
    assert len(by_name) == 1125
    for fold, train in {"1": 674, "2": 786, "3": 450, "4": 562}.items():
        parts = Counter(row.metadata.get("folds", {}).get(fold) for row in by_name.values())
        assert parts == {"train": train, "test": 1124 - train, None: 1}
    assert {row.split for row in rows} == {""}
    assert labels(rows) == {"001407": "yes", "000001": "yes"}
    assert spans(rows) == {}


def test_the_published_boxes() -> None:
    rows, _ = run(cadp, shared("data", "annotations", "cadp", "1407.txt"), fps=25)
    (row,) = rows
    assert len(row.record["rows"]) == 4641
    assert row.record["rows"][0] == '0 423 284 601 473 0 0 0 0 "Bus"'
    assert row.metadata["boxes_vatic"]["rows"] == 4641
    assert row.metadata["boxes_vatic"]["tracks"] == 21
    assert row.metadata["declared"] == {
        "frames": 221, "fps": [25, 1], "duration_us": 8_840_000, "start_frame": 96, "end_frame": 131,
    }  # fmt: skip
    assert spans(rows) == {"001407": (3_840_000, 5_240_000)}


def test_the_published_key_frames() -> None:
    (row,), _ = run(cadp, shared("data", "annotations", "cadp", "000001.json"))
    assert len(row.record["objects"]) == 39
    assert row.metadata["boxes_keyframes"]["colliding"]["frames"] == [499, 521]
    assert contradictions([row]) == {"000001": ["object _pdw3g8nl5 has key frame 476 after key frame 476"]}


def test_the_chosen_fold_is_the_split() -> None:
    rows, _ = run(cadp, shared("data", "annotations", "cadp"), fold="2")
    assert Counter(row.split for row in {row.name: row for row in rows}.values()) == {
        "train": 786, "test": 338, "": 1,
    }  # fmt: skip


def test_vatic_rows_become_one_clip(tmp_path: Path) -> None:
    lines = [VATIC.format(0), VATIC.format(1) + ' "Colliding"', VATIC.format(2) + ' "Parked" "colliding"',
             '1 0 0 5 5 3 1 1 1 "Car"']  # fmt: skip
    (tmp_path / "12.txt").write_text("\n".join(lines))
    (row,), rejections = run(cadp, tmp_path, fps="12.5")
    assert rejections == []
    assert (row.name, row.source, row.recording, row.recording_origin) == ("000012", "CADP", "000012", "name")
    assert (row.row, row.record) == (None, {"rows": lines})
    assert row.metadata == {
        "boxes_vatic": {
            "rows": 4, "tracks": 2, "tracks_by_label": {"Bus": 1, "Car": 1}, "last_frame": 3,
            "colliding": {"frames": [1, 3], "tracks": ["0"]},
        },
        "declared": {"frames": 4, "fps": [25, 2], "duration_us": 320_000, "start_frame": 1, "end_frame": 3},
    }  # fmt: skip
    assert (labels([row]), spans([row])) == ({"000012": "yes"}, {"000012": (80_000, 240_000)})


def test_without_a_rate_there_is_no_span_and_without_a_collision_no_answer(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text(VATIC.format(1) + ' "Colliding"')
    (tmp_path / "2.txt").write_text(VATIC.format(1))
    (collided, quiet), _ = run(cadp, tmp_path)
    assert [answer.kind for answer in collided.answers] == ["crash_recognition"]
    assert quiet.answers == ()


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ("0 1 2 3", ""),
        (VATIC.format(0).replace('"', ""), ""),
        (VATIC.format(0).replace("423", "4.5"), ""),
        (VATIC.format(-1), ""),
        (VATIC.format("9" * 12), "frame"),
        (VATIC.format(7), "frame"),
    ],
)
def test_a_bad_row_is_rejected_and_the_clip_taken(tmp_path: Path, bad: str, field: str) -> None:
    (tmp_path / "1.txt").write_text(f"{VATIC.format(7)}\n{bad}\n{VATIC.format(8)}\n")
    (row,), (rejection,) = run(cadp, tmp_path)
    assert (rejection.file, rejection.row, rejection.field) == ("1.txt", 2, field)
    assert row.record == {"rows": [VATIC.format(7), VATIC.format(8)]}


def test_contradictions_of_boxes_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text(f'{VATIC.format(0)}\n0 9 9 1 1 1 0 0 0 "Car"\n')
    rows, _ = run(cadp, tmp_path)
    assert contradictions(rows) == {
        "000001": [
            "track 0 is labelled 'Bus' and 'Car'",
            "track 0 has a box in frame 1 that ends before it starts",
        ]
    }


def test_too_many_rows_for_a_clip_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cadp_boxes, "MAX_KEPT_BYTES", 50)
    (tmp_path / "1.txt").write_text(f"{VATIC.format(0)}\n{VATIC.format(1)}\n")
    rows, (rejection,) = run(cadp, tmp_path)
    assert (rows, rejection.row) == ([], None)
    assert rejection.reason.endswith("of rows: too many for a clip")


def test_a_state_holds_until_the_next_key_frame(tmp_path: Path) -> None:
    objects = [
        thing("_a", key_frame(5, "Colliding"), key_frame(9)),
        thing("_b", key_frame(2), key_frame(20, "Colliding")),
    ]
    (tmp_path / "000003.json").write_text(json.dumps(objects))
    (row,), rejections = run(cadp, tmp_path, fps=10)
    assert rejections == []
    assert row.record == {"objects": objects}
    assert row.metadata["boxes_keyframes"] == {
        "rows": 2, "tracks": 2, "tracks_by_label": {"Car": 2}, "last_frame": 20,
        "colliding": {"frames": [5, 21], "tracks": ["_a", "_b"]},
    }  # fmt: skip
    assert row.metadata["declared"] == {"fps": [10, 1], "start_frame": 5, "end_frame": 21}
    assert spans([row]) == {"000003": (500_000, 2_100_000)}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (1, ""),
        ({}, "id"),
        (thing(""), "id"),
        (thing("_good"), "id"),
        ({**thing(), "type": 3}, "type"),
        ({**thing(), "keyframes": []}, "keyframes"),
        ({**thing(), "keyframes": [1]}, "keyframes"),
        (thing("_a", {**key_frame(0), "x": "1"}), "keyframes.x"),
        (thing("_a", {**key_frame(0), "h": True}), "keyframes.h"),
        (thing("_a", key_frame(-1)), "keyframes.frame"),
        (thing("_a", {**key_frame(0), "state": 1}), "keyframes.state"),
        (thing("_a", {**key_frame(0), "note": "\x00"}), ""),
    ],
)
def test_a_bad_object_is_rejected_and_the_clip_taken(tmp_path: Path, bad: Any, field: str) -> None:
    (tmp_path / "000003.json").write_text(json.dumps([thing("_good"), bad]))
    (row,), (rejection,) = run(cadp, tmp_path)
    assert (rejection.row, rejection.field) == (2, field)
    assert row.metadata["boxes_keyframes"]["tracks"] == 1


def test_lists_and_folds_name_clips(tmp_path: Path) -> None:
    (tmp_path / "segments1.json").write_text(json.dumps(["4", "15", "4", 3, "x", "1234567"]))
    (tmp_path / "split1_train.txt").write_text("000004\n000099\nx\n")
    (tmp_path / "split1_test.txt").write_text("000015\n000099\n")
    rows, rejections = run(cadp, tmp_path)
    assert [(row.name, row.file, row.row, row.split, row.record) for row in rows] == [
        ("000004", "segments1.json", 1, "train", "4"),
        ("000015", "segments1.json", 2, "test", "15"),
        ("000099", "split1_test.txt", 2, "test", "000099"),
    ]
    assert [(item.file, item.row, item.field) for item in rejections] == [
        ("split1_train.txt", 2, "id"), ("split1_train.txt", 3, "id"),
        ("segments1.json", 3, "id"), ("segments1.json", 4, "id"), ("segments1.json", 5, "id"),
        ("segments1.json", 6, "id"),
    ]  # fmt: skip


def test_folds_may_lie_in_folders(tmp_path: Path) -> None:
    for fold in ("1", "2"):
        (tmp_path / "splits" / fold).mkdir(parents=True)
        (tmp_path / "splits" / fold / "train.txt").write_text("000004\n")
    (row,), _ = run(cadp, tmp_path)
    assert (row.metadata, row.split) == ({"folds": {"1": "train", "2": "train"}}, "")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"fps": "x"}, "options.fps"), ({"fold": "x"}, "options.fold"), ({"fold": True}, "options.fold")],
)
def test_an_option_that_is_none_stops_the_import(tmp_path: Path, options: dict[str, Any], field: str) -> None:
    (tmp_path / "1.txt").write_text(VATIC.format(0))
    rows, (rejection,) = run(cadp, tmp_path, **options)
    assert (rows, rejection.field) == ([], field)


def test_other_files_are_left_aside(tmp_path: Path) -> None:
    (tmp_path / "cadp_stat.json").write_text("{}")
    reading = Reading(tmp_path)
    (rejection,) = cadp.read(reading)
    assert str(getattr(rejection, "reason", "")).startswith("holds no CADP file")
    assert reading.left_aside == ["cadp_stat.json"]
