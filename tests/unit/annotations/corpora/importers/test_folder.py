import os
from pathlib import Path

from annotations.corpora.importers.folder import files_of, read_files
from annotations.corpora.importers.rows import Rejection, VideoRow


def test_every_file_but_manifests_and_hidden_ones_is_a_clip(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.unknown", "notes.txt", "m.JSON", ".hidden.mp4", "night/c.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.mp4")
    clips, aside = files_of(tmp_path)
    videos = list(read_files(tmp_path, clips))
    assert [item.name for item in videos] == ["a.unknown", "b.mp4", "night/c.avi"]
    assert sorted(path.name for path in aside) == [".hidden.mp4", "m.JSON", "notes.txt", "pipe.mp4"]
    assert videos[2] == VideoRow(
        "night/c.avi", None, "night/c.avi", "night", "c", tmp_path / "night/c.avi", recording_origin="name"
    )


def test_a_name_that_is_no_text_is_rejected(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/clip-\xff.mp4")).write_bytes(b"x")
    (rejection,) = read_files(tmp_path, files_of(tmp_path)[0])
    assert isinstance(rejection, Rejection)
    assert (rejection.file, rejection.reason) == ("clip-\ufffd.mp4", "is not valid Unicode text")
