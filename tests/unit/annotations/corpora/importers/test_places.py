from pathlib import Path

import pytest

from annotations.corpora.importers.places import Places


def clips(root: Path, *names: str) -> Places:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return Places(root)


@pytest.mark.parametrize(
    ("name", "beside", "found"),
    [
        ("videos/a.mp4", ".", "videos/a.mp4"),
        ("a.mp4", "videos", "videos/a.mp4"),
        ("elsewhere/a.mp4", ".", None),
        ("a", ".", "videos/a.mp4"),
        ("a.avi", ".", "videos/a.mp4"),
        ("twice.mp4", ".", None),
        ("one/twice.mp4", ".", "one/twice.mp4"),
        ("gone.mp4", ".", None),
        ("raw.bin", ".", "raw.bin"),
        ("notes.txt", "deep", None),
    ],
)
def test_a_clip_is_found_by_path_then_by_a_name_that_occurs_once(
    tmp_path: Path, name: str, beside: str, found: str | None
) -> None:
    places = clips(
        tmp_path, "videos/a.mp4", "one/twice.mp4", "two/twice.mp4", "raw.bin", "notes.txt.mp4.part"
    )
    assert places.find(name, beside=beside) == (tmp_path / found if found else None)
    assert len(places) == 3


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert Places(tmp_path).find("a.mp4") is None


def test_other_folders_of_a_name_count_where_all_clips_lie_in_one(tmp_path: Path) -> None:
    places = clips(tmp_path, "clips/a.mp4", "clips/001.mp4")
    assert places.find("videos/a.mp4") == tmp_path / "clips/a.mp4"
    assert places.find("10/001") is None
    assert places.find("10/001.mp4") is None
    assert places.find("001") == tmp_path / "clips/001.mp4"
