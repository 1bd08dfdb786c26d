import pytest

from annotations.cases.kinds import Kind
from annotations.corpora.importers.rows import KINDS, BadField, checked_metadata, checked_name, shown


def test_the_readers_speak_of_the_same_kinds_as_the_cases() -> None:
    assert list(KINDS) == Kind.values


@pytest.mark.parametrize("name", ["a.mp4", "videos/a.mp4", "a b/ü.avi", "a..b.mp4"])
def test_a_relative_path_is_a_name(name: str) -> None:
    assert checked_name(name, "video") == name


@pytest.mark.parametrize(
    "name", ["", ".", "/etc/passwd", "../a.mp4", "a/../../b.mp4", "a\\b.mp4", "a\x00.mp4", "x" * 301]
)
def test_a_path_that_leaves_its_corpus_or_fits_no_column_is_none(name: str) -> None:
    with pytest.raises(BadField):
        checked_name(name, "video")


@pytest.mark.parametrize("value", [{"a": "\x00"}, {"a": float("nan")}, {"a": "\ud800"}])
def test_metadata_that_the_database_cannot_hold_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(BadField):
        checked_metadata(value, "metadata")


def test_a_file_name_of_any_bytes_can_be_shown() -> None:
    assert shown(b"clip-\xff.mp4".decode(errors="surrogateescape")) == "clip-\ufffd.mp4"
