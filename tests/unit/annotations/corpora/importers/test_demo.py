import io
import json
from pathlib import Path
from typing import Any

import pytest

from annotations.corpora.importers.demo import manifest_of, read_stream
from annotations.corpora.importers.rows import Rejection, VideoRow


def read(folder: Path, *lines: Any) -> list[VideoRow | Rejection]:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return list(read_stream(io.BytesIO(text.encode()), file="manifest.jsonl", folder=folder))


def test_a_clip_comes_without_its_truth(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    record = {
        "file": "a.mp4", "source": "demo-road", "recording": "r1", "truth": {"crash_recognition": {}},
        "tags": ["day", "crash"], "bad": None,
    }  # fmt: skip
    assert read(tmp_path, record) == [
        VideoRow(
            "manifest.jsonl",
            1,
            "a.mp4",
            "demo-road",
            "r1",
            tmp_path / "a.mp4",
            {"tags": ["day"], "bad": None},
        )
    ]


def test_a_clip_that_is_not_there_is_known_all_the_same(tmp_path: Path) -> None:
    (video,) = read(tmp_path, {"file": "gone.mp4"})
    assert isinstance(video, VideoRow)
    assert video.path is None
    assert (video.recording, video.source) == ("gone", "")


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{", ""),
        ("[" * 20_000, ""),
        ("[]", ""),
        ({}, "file"),
        ({"file": "../x"}, "file"),
        ({"file": "a", "source": 1}, "source"),
        ({"file": "a", "note": "\x00"}, "metadata"),
    ],
)
def test_a_bad_line_is_rejected_and_the_next_is_read(tmp_path: Path, line: Any, field: str) -> None:
    rejection, video = read(tmp_path, line, {"file": "b.mp4"})
    assert isinstance(rejection, Rejection)
    assert (rejection.row, rejection.field) == (1, field)
    assert isinstance(video, VideoRow)


def test_a_clip_named_twice_is_rejected_the_second_time(tmp_path: Path) -> None:
    _, rejection = read(tmp_path, {"file": "a.mp4"}, "", {"file": "a.mp4"})
    assert isinstance(rejection, Rejection)
    assert (rejection.row, rejection.reason) == (3, "a.mp4 is named by row 1 already")


def test_the_manifest_is_found_in_its_folder(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.jsonl"
    assert manifest_of(tmp_path) == manifest
    manifest.write_text("")
    assert manifest_of(manifest) == manifest
