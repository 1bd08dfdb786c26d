import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.corpora.importers.reading import Reading
from annotations.corpora.importers.rows import GivenAnswer, Rejection, VideoRow
from annotations.corpora.importers.table import look, preview, read
from tests.unit.annotations.corpora.importers.storable import storable

MAPPING: dict[str, Any] = {
    "name": "file",
    "source": {"constant": "dashcams"},
    "recording": "trip",
    "split": "set",
    "crash_recognition": {"column": "label", "yes": ["1"], "no": ["0"]},
    "crash_localization": {"start": "from", "end": "to"},
    "pre_crash_localization": "cue",
    "crash_description": "text",
}
HEADER = "file,trip,set,label,from,to,cue,text,weather\n"


def taken(folder: Path, content: str | bytes, mapping: Any = MAPPING, name: str = "t.csv") -> list[Any]:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return list(read(Reading(folder / name, {"mapping": mapping})))


def test_a_row_becomes_a_clip_with_its_answers(tmp_path: Path) -> None:
    (video,) = taken(tmp_path, HEADER + "a/b.mp4,t7,train,1,1.9,4.0,0.4,A car hits a bus,rain\n")
    assert video == VideoRow(
        file="t.csv",
        row=2,
        name="a/b.mp4",
        source="dashcams",
        recording="t7",
        path=None,
        metadata={"weather": "rain"},
        split="train",
        answers=(
            GivenAnswer("crash_recognition", {"label": "yes"}, "1"),
            GivenAnswer("crash_description", {"text": "A car hits a bus"}, "A car hits a bus"),
            GivenAnswer("crash_localization", {"start_us": 1_900_000, "end_us": 4_000_000}, "1.9 - 4.0 seconds"),
            GivenAnswer("pre_crash_localization", {"at_us": 400_000}, "0.4 seconds"),
        ),
        record={
            "file": "a/b.mp4", "trip": "t7", "set": "train", "label": "1", "from": "1.9", "to": "4.0",
            "cue": "0.4", "text": "A car hits a bus", "weather": "rain",
        },
    )  # fmt: skip


def test_empty_cells_say_nothing(tmp_path: Path) -> None:
    (video,) = taken(tmp_path, HEADER + "a.mp4,,,,,,,,\n")
    assert (video.answers, video.metadata, video.split) == ((), {}, "")
    assert (video.recording, video.recording_origin) == ("a", "name")


def test_a_cell_that_is_no_answer_costs_that_answer_only(tmp_path: Path) -> None:
    items = taken(tmp_path, HEADER + "a.mp4,,,maybe,1.9,,x,text,\nb.mp4,,,0,,,,,\n")
    lost, videos = items[:-2], [item for item in items if isinstance(item, VideoRow)]
    assert [(item.row, item.field, item.kind, item.name) for item in lost] == [
        (2, "label", "crash_recognition", "a.mp4"),
        (2, "to", "crash_localization", "a.mp4"),
        (2, "cue", "pre_crash_localization", "a.mp4"),
    ]
    assert [[answer.kind for answer in video.answers] for video in videos] == [
        ["crash_description"],
        ["crash_recognition"],
    ]


@pytest.mark.parametrize(
    ("cells", "field", "reason"),
    [
        (",,,,,,,,", "", ""),
        (",t,,,,,,,", "file", "nothing names the clip"),
        ("../x.mp4,,,,,,,,", "file", "not a file name inside"),
        ("a.mp4," + "r" * 201 + ",,,,,,,", "trip", "longer than 200"),
        ("a.mp4,,,,,,,,x,y", "", "has 10 cells where the header has 9"),
        ("z.mp4,,,,,,,,", "file", "named by row 2 already"),
    ],
)
def test_a_row_without_a_usable_clip_is_refused_and_the_next_is_read(
    tmp_path: Path, cells: str, field: str, reason: str
) -> None:
    first, *middle, last = taken(tmp_path, HEADER + f"z.mp4,,,,,,,,\n{cells}\nb.mp4,,,,,,,,\n")
    assert (first.name, last.name) == ("z.mp4", "b.mp4")
    assert [(item.row, item.field) for item in middle] == ([(3, field)] if reason else [])
    assert all(reason in item.reason for item in middle)


def test_frames_become_microseconds_by_the_rate_of_their_row(tmp_path: Path) -> None:
    mapping = {
        "name": "file",
        "crash_localization": {
            "start": "from", "end": "to", "unit": "frames", "fps": {"column": "fps"}, "first_frame": 1,
            "end_inclusive": True,
        },
        "not_given": ["-1"],
    }  # fmt: skip
    first, second, lost, third = taken(
        tmp_path, "file,from,to,fps\na,1,3,30000/1001\nb,-1,-1,30\nc,2,4,\n", mapping
    )
    assert first.answers[0].value == {"start_us": 0, "end_us": 100_100}
    assert first.answers[0].raw_text == "1 - 3 frames from 1 at 30000/1001 fps, the last one included"
    assert (second.answers, third.answers) == ((), ())
    assert (lost.field, lost.kind) == ("fps", "crash_localization")


def test_without_end_inclusive_the_span_ends_where_its_frame_begins(tmp_path: Path) -> None:
    times = {"start": "a", "end": "b", "unit": "frames", "fps": 10}
    (video,) = taken(tmp_path, "file,a,b\nx,5,9\n", {"name": "file", "crash_localization": times})
    assert video.answers[0].value == {"start_us": 500_000, "end_us": 900_000}


def test_a_manifest_names_clips_by_path_or_address(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"x")
    mapping = {"path": "p", "url": "u", "metadata": ["road"]}
    text = "p,u,road\nclips/a.mp4,,A1\n./clips/../clips/b.mp4,,\n,https://x.org/v/c%20d.mp4?k=1,\n"
    first, missing, second, third = taken(tmp_path, text, mapping)
    assert (first.name, first.path, first.metadata) == (
        "clips/a.mp4",
        tmp_path / "clips/a.mp4",
        {"road": "A1"},
    )
    assert (missing.row, missing.field, missing.name) == (3, "p", "clips/b.mp4")
    assert (second.name, second.path) == ("clips/b.mp4", None)
    assert (third.name, third.url) == ("v/c d.mp4", "https://x.org/v/c%20d.mp4?k=1")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("p", "/etc/passwd"), ("p", "../other.mp4"), ("u", "file:///etc/passwd"), ("u", "https://"),
        ("u", "javascript:alert(1)"), ("u", "https://x.org/a b"), ("u", "http://[x"),
    ],
)  # fmt: skip
def test_what_lies_elsewhere_or_is_no_address_is_refused(tmp_path: Path, column: str, cell: str) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (tmp_path / "other.mp4").write_bytes(b"x")
    (item,) = taken(folder, f"name,p,u\nn,{cell if column == 'p' else ''},{cell if column == 'u' else ''}\n",
                    {"name": "name", "path": "p", "url": "u"})  # fmt: skip
    assert isinstance(item, Rejection)
    assert (item.row, item.field) == (2, column)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (folder / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (item,) = taken(folder, "p\nlink.mp4\n", {"path": "p"})
    assert "outside" in item.reason


def test_json_rows_keep_their_types_and_their_numbers_exact(tmp_path: Path) -> None:
    mapping = {
        "name": "file", "crash_recognition": "crash", "pre_crash_localization": {"at": "t", "unit": "milliseconds"},
    }  # fmt: skip
    text = '{"file": "a", "crash": true, "t": 0.001, "lanes": 2.50, "boxes": [1.5]}\n{"file": 7}\n'
    first, second = taken(tmp_path, text, mapping, name="t.jsonl")
    assert [answer.value for answer in first.answers] == [{"label": "yes"}, {"at_us": 1}]
    assert first.metadata == {"lanes": 2.5, "boxes": [1.5]}
    assert first.record["t"] == 0.001
    assert second.name == "7"
    listed = taken(
        tmp_path, json.dumps([{"file": "a"}, 3, {"file": ["b"]}, {"file": "c"}]), mapping, name="t.json"
    )
    assert [(item.row, type(item)) for item in listed] == [
        (1, VideoRow), (2, Rejection), (3, Rejection), (4, VideoRow),
    ]  # fmt: skip


def test_without_a_usable_mapping_each_problem_is_a_rejection(tmp_path: Path) -> None:
    items = taken(tmp_path, HEADER, {"name": "file", "crash_localization": {"start": "a", "unit": "hours"}})
    assert [(item.row, item.field) for item in items] == [
        (None, "crash_localization.end"),
        (None, "crash_localization"),
    ]


def test_a_table_without_the_mapped_columns_says_which(tmp_path: Path) -> None:
    (item,) = taken(tmp_path, "file,cue\na,b\n", {"name": "file", "crash_description": "text"})
    assert (item.row, item.field) == (None, "crash_description")
    assert "no column 'text'" in item.reason


def test_a_folder_of_tables_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("a.csv", "b/c.tsv"):
        (tmp_path / name).write_text(f"file\n{name}.mp4\n")
    (tmp_path / "clip.mp4").write_bytes(b"x")
    reading = Reading(tmp_path, {"mapping": {"name": "file"}})
    items = [item for item in read(reading) if isinstance(item, VideoRow)]
    assert [(item.file, item.name) for item in items] == [("a.csv", "a.csv.mp4"), ("b/c.tsv", "b/c.tsv.mp4")]
    assert reading.position() == reading.total


def test_a_look_shows_columns_and_rows_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a;b\n1;2\n3\n4;5\n")
    seen = look(tmp_path / "t.csv", limit=2)
    assert (seen.columns, seen.rows) == (["a", "b"], [{"a": "1", "b": "2"}])
    assert [problem.row for problem in seen.problems] == [3]
    assert look(tmp_path / "none").problems


def test_a_preview_stops_after_its_rows_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,x\n" + "".join(f"{n},\n" for n in range(50)) + "bad\n")
    seen = preview(tmp_path / "t.csv", {"name": "file"}, limit=3)
    assert ([row.name for row in seen.rows], seen.rejections) == (["0", "1", "2"], [])
    assert preview(tmp_path / "t.csv", {}).rejections[0].field == "name"


def test_a_long_table_is_read_in_the_memory_of_its_names(tmp_path: Path) -> None:
    text = "x" * 2000
    rows = "".join(f"clip-{number}.mp4,{text}\n" for number in range(4000))
    (tmp_path / "t.csv").write_text("file,text\n" + rows)
    tracemalloc.start()
    read_rows = sum(
        1 for _ in read(Reading(tmp_path / "t.csv", {"mapping": {"name": "file", "metadata": []}}))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read_rows == 4000
    assert peak < len(rows) / 4


CELLS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["1", "0", "1.5", "-1", "../x", "https://x.org/a", "\x00", "a.mp4", "9" * 30]
)


@settings(max_examples=150)
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=10), max_size=6), broken=st.binary(max_size=20))
def test_whatever_the_cells_hold_no_row_stops_the_reading(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], broken: bytes
) -> None:
    folder = tmp_path_factory.mktemp("t")
    body = "\n".join(",".join(cells) for cells in rows).encode()
    mapping = {**MAPPING, "path": "weather"}
    items = taken(folder, HEADER.encode() + body + b"\n" + broken + b"\nlast.mp4,,,,,,,,\n", mapping)
    for item in items:
        assert storable(item)
    closed = not any(isinstance(item, Rejection) and "cannot be split" in item.reason for item in items)
    if closed and b'"' not in body + broken:
        names = [item.name for item in items if isinstance(item, VideoRow)]
        assert "last.mp4" in names


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from([*HEADER.strip().split(","), "\x00", "\ud800"]), JSON) | JSON, max_size=5
    ),
    lines=st.booleans(),
)  # fmt: skip
def test_whatever_json_rows_hold_no_row_stops_the_reading(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], lines: bool
) -> None:
    rows = [*rows, {"file": "last.mp4"}]
    content = "\n".join(json.dumps(row) for row in rows) if lines else json.dumps(rows)
    mapping = {**MAPPING, "path": "weather"}
    items = taken(tmp_path_factory.mktemp("j"), content, mapping, name="t.jsonl" if lines else "t.json")
    assert all(storable(item) for item in items)
    breaks = ("NaN", "Infinity", "\\ud")  # no JSON, or half of a character: the rest of a list is not read
    if lines or not any(mark in content for mark in breaks):
        assert items[-1].name == "last.mp4"
