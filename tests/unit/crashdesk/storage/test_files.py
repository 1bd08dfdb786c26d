import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from crashdesk.storage import files
from crashdesk.storage.files import ContentChanged, local_path, put, put_bytes, put_content, sha256_of


def test_content_is_stored_under_its_digest(tmp_path: Path, media_root: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"moving pictures")
    digest = hashlib.sha256(b"moving pictures").hexdigest()
    name, sha256, size = put_content("videos", clip, ".mp4")
    assert (name, sha256, size) == (f"videos/{digest[:2]}/{digest}.mp4", digest, 15)
    assert (media_root / name).read_bytes() == b"moving pictures"
    with local_path(name) as path:
        assert path == media_root / name


def test_known_content_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"once")
    first = put_content("videos", clip, "")

    def refuse(*args: Any) -> str:
        raise AssertionError("written twice")

    monkeypatch.setattr(files, "_save", refuse)
    assert put_content("videos", clip, "") == first
    assert put(first[0], clip) == first[0]


def test_a_file_that_changes_meanwhile_is_not_stored(
    tmp_path: Path, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"the whole clip")
    monkeypatch.setattr(files, "sha256_of", lambda stream: ("0" * 64, 5))
    with pytest.raises(ContentChanged):
        put_content("videos", clip, ".mp4")
    assert [path for path in media_root.rglob("*") if path.is_file()] == []


def test_a_write_that_breaks_off_leaves_nothing(media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(source: Any, target: Any, size: int) -> None:
        target.write(source.read(3))
        raise KeyboardInterrupt

    monkeypatch.setattr(files.shutil, "copyfileobj", break_off)
    with pytest.raises(KeyboardInterrupt):
        put_bytes("thumbnails/x.jpg", b"picture")
    assert [path for path in media_root.rglob("*") if path.is_file()] == []


def test_bytes_are_replaced() -> None:
    put_bytes("exports/a.txt", b"old")
    put_bytes("exports/a.txt", b"new")
    with default_storage.open("exports/a.txt") as stream:
        assert stream.read() == b"new"


def test_a_digest_is_that_of_all_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CHUNK", 7)
    assert sha256_of(io.BytesIO(b"x" * 100)) == (hashlib.sha256(b"x" * 100).hexdigest(), 100)
