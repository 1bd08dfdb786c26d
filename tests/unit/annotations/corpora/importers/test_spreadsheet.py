import datetime
import random
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from annotations.corpora.importers.spreadsheet import open_sheets
from annotations.corpora.importers.tabular import TableError

SAMPLE = Path(__file__).parent / "samples" / "cap_layout.xls"
"""Made-up rows in CAP's layout, written with xlwt: .xls has no writer among the packages in use."""


def book(path: Path, rows: list[list[Any]], **sheets: list[list[Any]]) -> Path:
    workbook = openpyxl.Workbook(write_only=True)
    for title, content in {"Sheet1": rows, **sheets}.items():
        sheet = workbook.create_sheet(title)
        for row in content:
            sheet.append(row)
    workbook.save(path)
    return path


def cells(path: Path) -> dict[str, list[tuple[int, list[Any]]]]:
    with open_sheets(path) as sheets:
        return {
            sheet.name: [(line, [cell for cell in row if cell is not None]) for line, row in sheet.rows]
            for sheet in sheets
        }


def test_rows_keep_their_numbers_and_whole_numbers_are_whole(tmp_path: Path) -> None:
    path = book(
        tmp_path / "a.xlsx",
        [["a", "b"], [], [1.0, 2.5, True], [datetime.datetime(2024, 5, 1, 12), " x "]],
        other=[["y"]],
    )
    assert cells(path) == {
        "Sheet1": [(1, ["a", "b"]), (3, [1, 2.5, True]), (4, ["2024-05-01T12:00:00", " x "])],
        "other": [(1, ["y"])],
    }


def test_the_old_format_reads_alike() -> None:
    sheets = cells(SAMPLE)
    assert list(sheets) == ["texts", "annotation file"]
    assert sheets["texts"] == [(1, ["id", "text"]), (2, [1, "a made-up car hits a made-up tree"])]
    assert sheets["annotation file"][1][1][:7] == [4242, 1, 2, 4, 1, 51, 1]


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(SAMPLE.read_bytes())
    assert list(cells(tmp_path / "a.xlsx")) == ["texts", "annotation file"]


def test_a_stray_cell_in_the_last_corner_does_not_fill_the_memory(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet["A1"], sheet["XFD20000"] = "video", 1
    workbook.save(tmp_path / "a.xlsx")
    assert cells(tmp_path / "a.xlsx") == {"Sheet": [(1, ["video"])]}


def test_a_row_number_beyond_all_sheets_ends_the_sheet(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", [["video"], [1]])
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b'<row r="2"', b'<row r="99999999999"'))
    with pytest.raises(TableError, match="empty rows follow"):
        cells(path)


@pytest.mark.parametrize("content", [b"", b"video,type\n", b"PK\x03\x04nothing", b"\xd0\xcf\x11\xe0nothing"])
def test_what_is_no_workbook_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(TableError, match="workbook"):
        cells(tmp_path / "a.xlsx")


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("suffix", ["xls", "xlsx"])
def test_a_damaged_workbook_is_read_or_refused(tmp_path: Path, suffix: str, seed: int) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "xls":
        path.write_bytes(SAMPLE.read_bytes())
    else:
        book(path, [["video", "type"], *([n, n] for n in range(30))])
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    if seed % 4 == 0:
        content = content[: chance.randrange(len(content))]
    for _ in range(chance.choice([1, 5, 40])):
        if content:
            content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(content)
    try:
        found = cells(path)
    except TableError:
        return
    assert all(isinstance(line, int) for rows in found.values() for line, _ in rows)
