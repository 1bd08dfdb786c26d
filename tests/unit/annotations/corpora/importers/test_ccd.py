from collections import Counter
from pathlib import Path
from statistics import median

import pytest

from annotations.corpora.importers import ccd
from annotations.corpora.importers.reading import Reading
from tests.shared_data import shared
from tests.unit.annotations.corpora.importers.readers import contradictions, labels, run, spans


def line(
    name: str = "000001",
    marks: str = ", ".join("0" * 30 + "1" * 20),
    start: str = "000285",
    youtube: str = "0007",
    after: str = "Day,Normal,Yes",
) -> str:
    return f"{name},{marks},{start},{youtube},{after}"


def read(tmp_path: Path, *lines: str, **options: object) -> tuple:  # type: ignore[type-arg]
    (tmp_path / "Crash-1500.txt").write_text("\n".join(lines))
    return run(ccd, tmp_path, **options)


def test_the_published_file() -> None:
    rows, rejections = run(ccd, shared("data", "annotations", "ccd"))
    assert (len(rows), rejections) == (1500, [])
    starts = [row.metadata["crash_start_frame"] for row in rows]
    assert (min(starts), median(starts), max(starts)) == (30, 36, 49)
    assert Counter(row.metadata["timing"] for row in rows) == {"Day": 1325, "Night": 175}
    assert Counter(row.metadata["weather"] for row in rows) == {"Normal": 1141, "Snowy": 235, "Rainy": 124}
    assert Counter(row.metadata["ego_involved"] for row in rows) == {True: 801, False: 699}
    assert Counter(labels(rows).values()) == {"yes": 1500}
    assert (spans(rows), contradictions(rows)) == ({}, {})
    assert len({row.name for row in rows}) == 1500
    assert len({row.recording for row in rows}) == 133
    assert str(rows[0].record).startswith("000001,0, 0, 0,")


def test_a_clip_has_its_start_and_no_end_that_nobody_marked(tmp_path: Path) -> None:
    (row,), rejections = read(tmp_path, line())
    assert rejections == []
    assert (row.name, row.source, row.recording, row.split) == ("Crash-1500/000001.mp4", "CCD", "0007", "")
    assert (row.file, row.row, row.record) == ("Crash-1500.txt", 1, line())
    assert row.metadata == {
        "ego_involved": True, "timing": "Day", "weather": "Normal", "start_frame_in_recording": 285,
        "crash_start_frame": 30, "crash_start_us": 3_000_000, "crash_end_marked": False,
        "declared": {"frames": 50, "fps": [10, 1], "duration_us": 5_000_000},
    }  # fmt: skip
    assert (labels([row]), spans([row])) == ({row.name: "yes"}, {})


def test_the_span_to_the_clips_end_can_be_asked_for(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, line(), crash_until_clip_end=True)
    assert spans([row]) == {row.name: (3_000_000, 5_000_000)}


def test_an_end_that_is_marked_makes_a_span(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, line(marks=",".join("0" * 10 + "1" * 5 + "0" * 35)))
    assert spans([row]) == {row.name: (1_000_000, 1_500_000)}
    assert row.metadata["crash_end_marked"] is True


def test_labels_may_stand_in_brackets(tmp_path: Path) -> None:
    (row,), _ = read(tmp_path, line(marks="[" + ", ".join("0" * 30 + "1" * 20) + "]"))
    assert row.metadata["crash_start_frame"] == 30


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (",".join("0" * 30 + "1" * 19), "binlabels has 49 labels, a clip of this dataset has 50 frames"),
        (",".join("0" * 50), "binlabels marks no frame, in a list of crash clips"),
        (",".join("0" * 10 + "1" + "0" * 10 + "1" * 29), "binlabels marks 2 separate runs of frames"),
    ],
)
def test_a_contradiction_is_named_and_the_clip_taken(tmp_path: Path, marks: str, message: str) -> None:
    (row,), rejections = read(tmp_path, line(marks=marks))
    assert rejections == []
    assert contradictions([row]) == {row.name: [message]}
    assert spans([row]) == {}


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ("not a line", ""),
        (line(name="../../x"), "vidname"),
        (line(name=""), "vidname"),
        (line(marks="0,2,1"), "binlabels"),
        (line(marks="[0,1"), "binlabels"),
        (line(marks=""), "binlabels"),
        (line(start="-1"), "startframe"),
        (line(start="9" * 30), "startframe"),
        (line(youtube="abc"), "youtubeID"),
        (line(after="Day,Normal,Maybe"), "egoinvolve"),
        (line(after="Day,7,Yes"), "weather"),
        (line(after=",Normal,Yes"), "timing"),
        (line() + "\x00", ""),
        ("0," * 40_000, ""),
    ],
)
def test_a_bad_line_is_rejected_and_the_next_is_read(tmp_path: Path, bad: str, field: str) -> None:
    (tmp_path / "Crash-1500.txt").write_bytes(f"{line('000009')}\r\n{'0' * 4096}\r\n".encode())
    with (tmp_path / "Crash-1500.txt").open("a") as file:
        file.write(f"{bad}\n\n{line()}")
    rows, (_, rejection) = run(ccd, tmp_path)
    assert (rejection.file, rejection.row, rejection.field) == ("Crash-1500.txt", 3, field)
    assert [(row.name, row.row) for row in rows] == [
        ("Crash-1500/000009.mp4", 1),
        ("Crash-1500/000001.mp4", 5),
    ]


def test_a_clip_named_twice_is_rejected_the_second_time(tmp_path: Path) -> None:
    rows, (rejection,) = read(tmp_path, line(), line())
    assert len(rows) == 1
    assert rejection.reason == "Crash-1500/000001.mp4 is named by row 1 already"


def test_a_file_of_another_name_is_read_when_it_is_the_path(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(line())
    reading = Reading(file)
    assert [type(row).__name__ for row in ccd.read(reading)] == ["VideoRow"]
    assert (reading.position(), reading.total) == (file.stat().st_size, file.stat().st_size)


def test_a_folder_without_the_file_is_rejected_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    reading = Reading(tmp_path)
    (rejection,) = ccd.read(reading)
    assert (getattr(rejection, "row", 0), getattr(rejection, "reason", "")) == (
        None,
        "holds no Crash-1500.txt",
    )
    assert reading.left_aside == ["notes.txt"]


def test_a_file_that_is_no_text_is_one_rejection(tmp_path: Path) -> None:
    (tmp_path / "Crash-1500.txt").write_bytes(b"\n\x00" * 1000)
    assert [item.reason for item in run(ccd, tmp_path)[1]] == ["not a text file: it holds NUL characters"]


def test_a_file_that_cannot_be_opened_is_one_rejection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Crash-1500.txt").write_text(line())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Reading, "open", refuse)
    assert [item.reason for item in run(ccd, tmp_path)[1]] == ["cannot be read: Permission denied"]
