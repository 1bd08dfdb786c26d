from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotations.corpora.media_store import ensure_media, store
from annotations.corpora.models import Media, RecordingOrigin, Video
from annotations.corpora.processing import process_media
from crashdesk.storage.files import put_bytes
from tests.factories import make_corpus, make_media, make_video
from tests.unit.annotations.corpora.duplicates import copies

pytestmark = pytest.mark.django_db


def stored(path: Path) -> Media:
    content = store(path)
    return process_media(ensure_media([content])[0][content.sha256].pk)


def said(*args: str) -> str:
    out = StringIO()
    call_command("find_duplicates", *args, stdout=out)
    return out.getvalue()


@pytest.fixture
def videos(tmp_path: Path) -> list[Video]:
    """A clip, a smaller and shorter copy of it in another corpus, and another scene of the same camera."""
    corpus, other = make_corpus("mine"), make_corpus("theirs")
    makes: list[tuple[Any, str, Any, dict[str, Any]]] = [
        (corpus, "original.mp4", copies.scene(1), {}),
        (other, "copy.mp4", copies.scene(1), {"start_s": 1.0, "change": copies.half_size, "crf": 30}),
        (other, "later.mp4", copies.scene(2, camera=1), {}),
    ]
    return [
        make_video(
            where, name=name, media=stored(copies.write(tmp_path / name, scene, **how)), recording=name,
            recording_origin=RecordingOrigin.NAME,
        )
        for where, name, scene, how in makes
    ]  # fmt: skip


def test_clips_are_fingerprinted_compared_and_listed(videos: list[Video]) -> None:
    text = said()
    table = [line.split() for line in text.splitlines() if "mp4" in line]
    assert [(row[3], row[4]) for row in table] == [
        ("original.mp4", "original.mp4"), ("copy.mp4", "original.mp4"),
    ]  # fmt: skip
    assert table[1][-1] == "-1.00"
    assert "1 pairs of files alike; 1 clusters of 2 videos: 1 new, 0 changed, 0 ended" in text
    assert "0 new, 0 changed, 0 ended" in said("theirs")
    videos[1].refresh_from_db()
    assert videos[1].recording_origin == RecordingOrigin.CLUSTER


def test_a_corpus_without_copies_says_so() -> None:
    make_corpus("empty")
    assert "No videos that show the same footage." in said("empty")


def test_clips_that_cannot_be_read_are_counted() -> None:
    media = make_media()
    make_video(media=media)
    put_bytes(media.storage_name, b"")
    assert "1 clips have no fingerprint" in said()


def test_an_unknown_corpus_is_refused() -> None:
    with pytest.raises(CommandError, match="no corpus 'none'"):
        said("none")
