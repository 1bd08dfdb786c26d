"""Many rows in one statement: what is written, what is refused, what replaces what."""

import pytest
from django.db import DataError, IntegrityError
from django.utils import timezone

from annotations.corpora.models import SourceRecord, Video, VideoFinding
from crashdesk.bulk import Replace, insert_found, insert_rows
from tests.factories import make_corpus, make_video

pytestmark = pytest.mark.django_db
ODD = "tab\t quote ' \" back \\ line\n\r nul-like \\u0000 ä 🚗 {%s} $1 %%"


def test_values_arrive_as_they_were_and_the_rest_takes_its_defaults() -> None:
    corpus, before = make_corpus(), timezone.now()
    rows = [(ODD, {"deep": [1, None, {"x": ODD}], "big": 2**62, "f": 0.1}), ("plain", {})]
    made = insert_rows(
        Video, ["name", "metadata"], rows, same={"corpus": corpus.pk, "recording": ODD},
        returning=["name", "id", "created_at"],
    )  # fmt: skip
    assert {name for name, _, _ in made} == {ODD, "plain"}
    one = Video.objects.get(name=ODD)
    assert (one.corpus, one.metadata, one.recording) == (corpus, rows[0][1], ODD)
    assert (one.source, one.media, one.recording_origin) == ("", None, "format")
    assert before <= one.created_at <= timezone.now()
    assert dict((name, pk) for name, pk, _ in made)[ODD] == one.pk


def test_no_rows_are_no_statement(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert insert_rows(Video, ["name"], [], returning=["id"]) == []


def test_a_row_that_is_there_already_is_left_out_and_not_returned() -> None:
    corpus = make_corpus()
    same = {"corpus": corpus.pk, "recording": "r"}
    insert_rows(Video, ["name"], [("a",)], same=same)
    assert insert_rows(Video, ["name"], [("a",), ("b",)], same=same, returning=["name"]) == [("b",)]


def test_a_text_longer_than_its_column_is_an_error_and_never_cut() -> None:
    with pytest.raises(DataError):
        insert_rows(Video, ["name"], [("x" * 301,)], same={"corpus": make_corpus().pk})


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(IntegrityError):
        insert_rows(Video, ["name"], [(None,)], same={"corpus": make_corpus().pk})


def test_null_in_json_is_a_missing_value_and_inside_it_is_kept() -> None:
    video = make_video()
    names, same = ["code", "data"], {"video": video.pk, "severity": "info", "message": "m"}
    insert_rows(VideoFinding, names, [("a", {"x": None})], same=same)
    assert VideoFinding.objects.get().data == {"x": None}
    with pytest.raises(IntegrityError):
        insert_rows(VideoFinding, names, [("b", None)], same=same)


def test_rows_replace_what_is_there_only_where_they_differ() -> None:
    one, two = make_video(), make_video()
    replace = Replace(key=["video", "format", "file"], fields=["row", "record"])

    def keep(*rows: tuple[int, str, int, object]) -> list[tuple[object, ...]]:
        names = ["video", "file", "row", "record"]
        return insert_rows(
            SourceRecord, names, rows, same={"format": "ccd"}, replace=replace, returning=["video"]
        )

    keep((one.pk, "f", 1, {"a": 1}), (two.pk, "f", 2, "text"))
    read_at = dict(SourceRecord.objects.values_list("video", "read_at"))
    assert keep((one.pk, "f", 1, {"a": 1}), (two.pk, "f", 2, ["new"])) == [(two.pk,)]
    assert dict(SourceRecord.objects.values_list("video", "record")) == {one.pk: {"a": 1}, two.pk: ["new"]}
    now = dict(SourceRecord.objects.values_list("video", "read_at"))
    assert now[one.pk] == read_at[one.pk]
    assert now[two.pk] > read_at[two.pk]
    assert SourceRecord.objects.count() == 2


def test_rows_of_a_query_keep_its_order() -> None:
    corpus, other = make_corpus(), make_corpus()
    for name in ("b", "a", ODD):
        make_video(corpus, name=name)
    found = Video.objects.filter(corpus=corpus).order_by("-name").values_list("name", "recording")
    assert insert_found(Video, ["name", "recording"], found, same={"corpus": other.pk, "source": "%s"}) == 3
    made = list(Video.objects.filter(corpus=other).order_by("id").values_list("name", "recording"))
    assert made == list(found)
    assert {video.source for video in Video.objects.filter(corpus=other)} == {"%s"}
    assert (
        insert_found(Video, ["name"], found.values_list("name").filter(pk__in=[]), same={"corpus": other.pk})
        == 0
    )
