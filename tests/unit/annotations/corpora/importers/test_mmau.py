import random
import zipfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.corpora.importers.mmau import CAP_FPS, Clips, Rates, part_of, read
from annotations.corpora.importers.reading import Reading
from annotations.corpora.importers.rows import BadField, Rejection, VideoRow
from annotations.corpora.media.timemap import TimeMap
from tests.unit.annotations.corpora.importers.storable import storable

SAMPLE = Path(__file__).parent / "samples" / "cap_layout.xls"
BEFORE = [
    "video", "weather(sunny,rainy,snowy,foggy)1-4", "light(day,night)1-2",
    "scenes(highway,tunnel,mountain,urban,rural)1-5", "linear(arterials,curve,intersection,T-junction,ramp) 1-5",
    "type", "whether an accident occurred (1/0)", "abnormal start frame",
]  # fmt: skip
AFTER = [
    "total frames",
    "[0,tai]",
    "[tai,tco]",
    "[tai,tae]",
    "[tco,tae]",
    "[tae,end]",
    "texts",
    "causes",
    "measures",
]
CAP = [*BEFORE, "abnormal end frame", "accident frame", *AFTER]
DADA = [*BEFORE, "accident frame", "abnormal end frame", *AFTER]


def line(header: list[str], **cells: Any) -> list[Any]:
    """A row of a table in its own order of columns; frames 1, 31, 61 of 90 unless said otherwise."""
    given = {
        "video": 5, "type": 11, "whether": 1, "abnormal start": 1, "accident frame": 31, "abnormal end": 61,
        "total": 90, "weather": 2, "light": 1, "scenes": 4, "linear": 3, "texts": "[CLS]a car hits a wall[SEP]",
        "causes": "speed ", "measures": "slow down", **{key.replace("_", " "): value for key, value in cells.items()},
    }  # fmt: skip
    return [next((value for key, value in given.items() if title.startswith(key)), 0) for title in header]


def table(path: Path, header: list[str], *rows: list[Any], first: str = "Sheet1") -> Path:
    workbook = openpyxl.Workbook(write_only=True)
    if first != "Sheet1":
        workbook.create_sheet("texts").append(["id", "text"])
    sheet = workbook.create_sheet(first)
    for row in (header, *rows):
        sheet.append(row)
    workbook.save(path)
    return path


def taken(path: Path, **options: Any) -> list[VideoRow | Rejection]:
    return list(read(Reading(path, options)))


def answers(video: Any) -> dict[str, Any]:
    assert isinstance(video, VideoRow), video
    return {answer.kind: answer.value for answer in video.answers}


def test_a_row_of_dada_becomes_a_clip_with_all_six_answers(tmp_path: Path) -> None:
    (video,) = taken(table(tmp_path / "dada_text_annotations.xlsx", DADA, line(DADA)))
    assert answers(video) == {
        "crash_recognition": {"label": "yes"},
        "crash_description": {"text": "a car hits a wall"},
        "causal_reasoning": {"text": "speed"},
        "prevention_reasoning": {"text": "slow down"},
        "crash_localization": {"start_us": 1_000_000, "end_us": 2_033_333},
        "pre_crash_localization": {"at_us": 0},
    }
    assert isinstance(video, VideoRow)
    assert (video.row, video.name, video.source) == (2, "11/005", "MM-AU-DADA")
    assert (video.recording, video.recording_origin) == ("dada_11_005", "name")
    assert video.metadata == {
        "accident_type": 11, "weather": "rainy", "light": "day", "scene": "urban", "road": "intersection",
        "total_frames": 90, "frames": {"t_ai": 1, "t_co": 31, "t_ae": 61},
    }  # fmt: skip
    assert video.record == dict(zip(DADA, line(DADA), strict=True))


def test_the_columns_are_found_by_name_whatever_their_order(tmp_path: Path) -> None:
    cap = taken(
        table(tmp_path / "cap_text_annotations.xlsx", CAP, line(CAP, video=7000), first="annotation file")
    )
    dada = taken(table(tmp_path / "dada_text_annotations.xlsx", DADA, line(DADA)))
    assert answers(cap[0])["crash_localization"] == answers(dada[0])["crash_localization"]
    assert isinstance(cap[0], VideoRow)
    assert (cap[0].name, cap[0].source, cap[0].recording) == ("11/007000", "MM-AU-CAP", "cap_11_007000")


def test_headers_that_are_the_wrong_way_round_are_told_by_the_rows(tmp_path: Path) -> None:
    # The cells of CAP under the header of DADA: "accident frame" heads the end, "abnormal end frame" the accident.
    rows = [line(CAP, video=number, accident_frame=31 + number) for number in range(1, 5)]
    videos = taken(table(tmp_path / "dada.xlsx", DADA, *rows))
    assert [answers(video)["crash_localization"]["start_us"] for video in videos] == [
        TimeMap.constant(90, Fraction(30)).times_us[30 + number] for number in range(1, 5)
    ]
    assert all(isinstance(video, VideoRow) and "columns_exchanged" in video.metadata for video in videos)


def test_one_row_out_of_order_loses_its_times_only(tmp_path: Path) -> None:
    rows = [line(DADA, video=number) for number in (1, 2)]
    first, lost, also_lost, bad, last = taken(
        table(tmp_path / "dada.xlsx", DADA, rows[0], line(DADA, video=9, accident_frame=80), rows[1])
    )
    assert (first.name, last.name) == ("11/001", "11/002")
    assert set(answers(bad)) == {
        "crash_recognition", "crash_description", "causal_reasoning", "prevention_reasoning",
    }  # fmt: skip
    assert isinstance(lost, Rejection)
    assert isinstance(also_lost, Rejection)
    assert (lost.row, lost.field, lost.name) == (3, "accident frame", "11/009")
    assert lost.reason == "accident frame 80 comes after abnormal end frame 61"
    assert {lost.kind, also_lost.kind} == {"crash_localization", "pre_crash_localization"}


def test_minus_one_is_no_instant(tmp_path: Path) -> None:
    gone = dict.fromkeys(("accident_frame", "abnormal_start", "abnormal_end"), -1)
    rows = [
        line(DADA, video=1, whether=0, **gone),
        line(DADA, video=2, accident_frame=-1),
        line(DADA, video=3, abnormal_start=-1, accident_frame=""),
        line(DADA, video=4, whether=0),
        line(DADA, video=5, abnormal_end=-2),
    ]
    first, second, third, no_crash, *rest = taken(table(tmp_path / "dada.xlsx", DADA, *rows))
    times = ("crash_localization", "pre_crash_localization")
    said = [
        {kind: answers(video)[kind] for kind in times if kind in answers(video)}
        for video in (first, second, third)
    ]
    assert said == [{}, {"pre_crash_localization": {"at_us": 0}}, {}]
    assert answers(first)["crash_recognition"] == {"label": "no"}
    # Without an accident the frames are no crash's; they stay to be seen.
    assert isinstance(no_crash, VideoRow)
    assert not set(times) & set(answers(no_crash))
    assert no_crash.metadata["frames"] == {"t_ai": 1, "t_co": 31, "t_ae": 61}
    assert [item.reason for item in rest if isinstance(item, Rejection)] == [
        "-2 is neither a frame nor -1"
    ] * 2


def test_the_old_workbook_reads_with_its_second_sheet() -> None:
    reading = Reading(SAMPLE)
    first, second, third = list(read(reading))
    assert [item.name for item in (first, second, third)] == ["51/004242", "10/007000", "11/008000"]
    # 4242 lies in a range of 10 frames a second, 7000 in one of 30.
    assert answers(first)["crash_localization"] == {"start_us": 4_000_000, "end_us": 6_100_000}
    assert answers(second)["crash_localization"] == {"start_us": 3_000_000, "end_us": 4_033_333}
    assert answers(second)["crash_description"] == {"text": "a second one"}
    assert answers(third) == {
        "crash_recognition": {"label": "no"}, "crash_description": {"text": "nothing happens"},
    }  # fmt: skip
    assert reading.left_aside == ["cap_layout.xls: sheet texts"]
    assert reading.position() == reading.total


def test_a_rate_can_be_given_for_all_or_by_number(tmp_path: Path) -> None:
    path = table(tmp_path / "cap.xlsx", CAP, line(CAP, video=7000), line(CAP, video=12500))
    (_, *lost, unknown) = taken(path)
    assert [item.field for item in lost if isinstance(item, Rejection)] == ["fps", "fps"]
    assert "crash_localization" not in answers(unknown)
    spans = [answers(video)["crash_localization"]["start_us"] for video in taken(path, fps="25")]
    assert spans == [1_200_000, 1_200_000]
    spans = [
        answers(v)["crash_localization"]["start_us"]
        for v in taken(path, fps=[[1, 9999, 10], [10000, 13000, 20]])
    ]
    assert spans == [3_000_000, 1_500_000]
    (refused,) = taken(path, fps="fast")
    assert isinstance(refused, Rejection)
    assert (refused.row, refused.field) == (None, "fps")
    with pytest.raises(BadField):
        Rates([[1, 2]])


def test_the_known_ranges_do_not_overlap() -> None:
    assert all(first <= last for first, last, _ in CAP_FPS)
    assert all(before[1] < after[0] for before, after in pairwise(CAP_FPS))


@settings(max_examples=25)
@given(
    frames=st.lists(st.integers(1, 400), min_size=3, max_size=3).map(sorted),
    fps=st.sampled_from([Fraction(10), Fraction(20), Fraction(30), Fraction(30000, 1001)]),
)
def test_times_are_those_of_the_frames_on_screen(
    tmp_path_factory: pytest.TempPathFactory, frames: list[int], fps: Fraction
) -> None:
    start, accident, end = frames
    row = line(DADA, abnormal_start=start, accident_frame=accident, abnormal_end=end)
    path = table(tmp_path_factory.mktemp("m") / "dada.xlsx", DADA, row)
    (video,) = taken(path, fps=f"{fps.numerator}/{fps.denominator}")
    times = TimeMap.constant(401, fps).times_us.tolist()  # frame N is the map's N - 1
    assert answers(video)["pre_crash_localization"] == {"at_us": times[start - 1]}
    assert answers(video)["crash_localization"] == {"start_us": times[accident - 1], "end_us": times[end]}


def test_a_clip_is_found_by_its_type_and_number(tmp_path: Path) -> None:
    names = [
        "DADA/11/005.mp4",
        "12/005.mp4",
        "1-10/3/000005.avi",
        "videos/cap_48_000007.mp4",
        "2/008/images.mp4",
    ]
    twice = ["13/001.mp4", "more/13/001.mp4", "cap_9_001.mp4"]
    for name in names + twice:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    clips = Clips(tmp_path)
    keys = [("dada", 11, 5), ("dada", 12, 5), ("cap", 3, 5), ("cap", 48, 7), ("dada", 2, 8)]
    assert [clips.find(*key) for key in keys] == [tmp_path / name for name in names]
    assert [clips.find(*key) for key in [("dada", 13, 1), ("dada", 9, 1), ("cap", 11, 5)]] == [
        None,
        None,
        None,
    ]


def test_the_half_is_told_by_file_folder_or_option() -> None:
    assert part_of(Path("x/cap_text_annotations.xls")) == "cap"
    assert part_of(Path("DADA-DATA/annotations.xlsx")) == "dada"
    assert part_of(Path("captions.xlsx")) is None
    assert part_of(Path("cap_and_dada.xlsx")) is None
    assert part_of(Path("captions.xlsx"), "dada") == "dada"


def test_what_cannot_be_told_is_said(tmp_path: Path) -> None:
    (unknown,) = taken(table(tmp_path / "a.xlsx", DADA, line(DADA)))
    assert isinstance(unknown, Rejection)
    assert 'option "set"' in unknown.reason
    (no_columns,) = taken(table(tmp_path / "dada.xlsx", ["video", "type"], [1, 2]))
    assert isinstance(no_columns, Rejection)
    assert "no sheet has the columns" in no_columns.reason
    (twice,) = taken(table(tmp_path / "dada2.xlsx", [*DADA, "type"], [*line(DADA), 3]), set="dada")
    assert isinstance(twice, Rejection)
    assert "two columns are called 'type'" in twice.reason


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ({"video": ""}, "video"), ({"video": "x"}, "video"), ({"type": -1}, "type"), ({"video": 1.5}, "video"),
        ({"video": 10**7}, "video"), ({"video": 1}, "video"),
    ],
)  # fmt: skip
def test_a_row_that_names_no_clip_is_refused_and_the_next_is_read(
    tmp_path: Path, cells: dict[str, Any], field: str
) -> None:
    rows = [line(DADA, video=1), line(DADA, **cells), line(DADA, video=2)]
    first, bad, last = taken(table(tmp_path / "dada.xlsx", DADA, *rows))
    assert (first.name, last.name) == ("11/001", "11/002")
    assert isinstance(bad, Rejection)
    assert (bad.row, bad.field) == (3, field)


def test_a_cell_that_is_no_answer_is_named(tmp_path: Path) -> None:
    row = line(DADA, whether=2, accident_frame="soon")
    *lost, video = taken(table(tmp_path / "dada.xlsx", DADA, row))
    assert {(item.field, item.kind) for item in lost if isinstance(item, Rejection)} == {
        ("whether an accident occurred (1/0)", "crash_recognition"),
        ("accident frame", "crash_localization"),
        ("accident frame", "pre_crash_localization"),
    }
    assert "crash_description" in answers(video)


@pytest.mark.parametrize("seed", range(30))
def test_random_cells_never_stop_the_reading(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    odd = [None, "", "x", -1, -5, 0, 3, 1.5, 1e300, True, "[CLS]", "=1/0", "9" * 400, 10**15, "\ud7ff", "1/2"]
    rows = [[chance.choice([*odd, cell]) for cell in line(DADA, video=n)] for n in range(20)]
    items = taken(table(tmp_path / "dada.xlsx", DADA, *rows, line(DADA, video=99)))
    assert items[-1].name == "11/099"
    assert all(storable(item) for item in items)


def test_the_rows_before_a_break_in_a_sheet_are_read(tmp_path: Path) -> None:
    path = table(tmp_path / "dada.xlsx", CAP, *[line(DADA, video=number) for number in range(1, 9)])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            cut = part.index(b'<row r="6"') if b'<row r="6"' in part else len(part)
            # Excel writes the size of a sheet; openpyxl reads a sheet to its end on opening when it is missing.
            archive.writestr(name, part[:cut].replace(b"<sheetData>", b'<dimension ref="A1:S9"/><sheetData>'))
    *videos, broken = taken(path)
    assert [video.name for video in videos] == [f"11/{number:03d}" for number in range(1, 5)]
    assert all("columns_exchanged" in video.metadata for video in videos if isinstance(video, VideoRow))
    assert isinstance(broken, Rejection)
    assert (broken.row, "rest of the sheet" in broken.reason) == (6, True)


def test_a_folder_reads_its_workbooks_and_leaves_other_sheets_aside(tmp_path: Path) -> None:
    table(tmp_path / "dada.xlsx", DADA, line(DADA))
    table(tmp_path / "other.xlsx", ["a"], ["b"])
    (tmp_path / "broken.xls").write_bytes(b"no workbook")
    reading = Reading(tmp_path)
    broken, video = list(read(reading))
    assert isinstance(broken, Rejection)
    assert broken.file == "broken.xls"
    assert video.name == "11/005"
    assert reading.left_aside == ["other.xlsx: sheet Sheet1"]
    assert reading.position() == reading.total
