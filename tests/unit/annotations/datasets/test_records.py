"""The canonical form and its hash."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotations.datasets.records import (
    ContentChanged,
    Digest,
    canonical_bytes,
    content_hash,
    header_line,
    record_line,
    utc_text,
)
from tests.unit.annotations.datasets.records import make_record

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON_VALUES))
def test_canonical_bytes_read_back_and_ignore_the_order_of_keys(content: dict[str, object]) -> None:
    line = canonical_bytes(content)
    assert json.loads(line) == content
    assert b"\n" not in line
    assert canonical_bytes(dict(reversed(content.items()))) == line


def test_canonical_bytes_are_these() -> None:
    assert canonical_bytes({"b": [1, None], "a": "ü"}) == '{"a":"ü","b":[1,null]}'.encode()


def test_a_float_is_refused_and_named() -> None:
    record = make_record("a.mp4")
    record["answers"]["pre_crash_localization"]["value"]["at_us"] = 2.4
    with pytest.raises(TypeError, match=r"record\.record\.answers\.pre_crash_localization\.value\.at_us"):
        record_line("train", record)


@pytest.mark.parametrize("number", [2.0, float("nan"), float("inf"), 1e30])
def test_every_kind_of_float_is_refused(number: float) -> None:
    with pytest.raises(TypeError, match=r"record\.list\[1\]"):
        canonical_bytes({"list": [1, number]})


@given(st.sets(st.text(st.characters(exclude_categories=["Cs"]))), st.randoms(use_true_random=False))
def test_the_hash_is_that_of_the_lines_sorted_by_video(names: set[str], random: object) -> None:
    rows = [("train", {"video": name}) for name in names]
    ordered = sorted(rows, key=lambda row: row[1]["video"].encode())
    text = b"".join(line + b"\n" for line in [b"head", *[record_line(*row) for row in ordered]])
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert content_hash(b"head", rows) == hashlib.sha256(text).hexdigest()


def test_the_header_tells_the_split_parameters() -> None:
    header = header_line(split_seed=7, val_share=0.1, test_share=0)
    assert header == (
        b'{"format":"crashdesk-dataset/1","split":{"seed":7,"test_share":"0.0","val_share":"0.1"}}'
    )


def test_split_and_every_word_count() -> None:
    record = make_record("a.mp4")
    reviewed_again = make_record("a.mp4")
    reviewed_again["answers"]["crash_recognition"]["lineage"]["approved_by"] = "kim"
    rows = [("train", record), ("val", record), ("train", reviewed_again)]
    assert len({content_hash(b"head", [row]) for row in rows}) == 3


@pytest.mark.parametrize("names", [("b", "a"), ("a", "a")])
def test_a_digest_refuses_records_out_of_order(names: tuple[str, str]) -> None:
    digest = Digest(b"head")
    digest.add("train", {"video": names[0]})
    with pytest.raises(ContentChanged, match="order"):
        digest.add("val", {"video": names[1]})


def test_a_digest_tells_both_hashes_when_they_differ() -> None:
    with pytest.raises(ContentChanged, match="not to feed"):
        Digest(b"head").check("feed")


def test_times_are_written_in_utc() -> None:
    noon = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    assert utc_text(noon) == "2026-03-01T10:00:00.000005Z"
    assert datetime.fromisoformat(utc_text(noon)) == noon
    assert utc_text(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="no time zone"):
        utc_text(datetime(2026, 3, 1))
